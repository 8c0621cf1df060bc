# The DERP map in its three forms. Canonical JSON (RFC 8785) has sorted names and no white space, as jsonencode writes it, but no
# escapes of <, >, & and line separators. A pair of backslashes is set aside first, for a text may have \u003c in it.

locals {
  map_regions = [for id in local.region_order : local.regions[id] if local.regions[id].state != "off"]

  # 20 / (30 + N), rounded down to six decimals: docs/decisions/0017.
  scores         = { for region in local.map_regions : region.id => region.prefer == null ? 1 : floor(20000000 / (30 + region.prefer)) / 1000000 }
  has_preference = anytrue([for region in local.map_regions : region.prefer != null])

  # Four decimals. Halves are rounded up as the digits in the file say, so the number is written out before it is cut.
  degrees = {
    for region in local.map_regions : region.id => {
      for name, value in { Latitude = region.latitude, Longitude = region.longitude } :
      name => floor(tonumber(format("%.30f", value * 10000)) + 0.5) / 10000 if value != null
    }
  }

  map_nodes = {
    for region in local.map_regions : region.id => [
      for node in concat([for one in region.nodes : one if !one.is_standby], [for one in region.nodes : one if one.is_standby]) : {
        for name, value in {
          Name      = node.name
          RegionID  = region.id
          HostName  = node.hostname
          CertName  = node.cert_name
          IPv4      = node.ipv4
          IPv6      = node.ipv6
          STUNPort  = node.stun_port
          DERPPort  = node.derp_port == 443 ? null : node.derp_port
          CanPort80 = node.can_port80 ? true : null
        } : name => value if value != null
      }
    ]
  }

  map_content = {
    for region in local.map_regions : region.id => merge(
      { RegionID = region.id, RegionCode = region.code, RegionName = region.name },
      local.degrees[region.id],
      { for mark in ["NoMeasureNoHome"] : mark => true if region.state == "draining" },
      { Nodes = local.map_nodes[region.id] },
    )
  }

  # The order of the fields in Headscale's file.
  yaml_fields = ["Name", "RegionID", "HostName", "CertName", "IPv4", "IPv6", "STUNPort", "DERPPort", "CanPort80"]

  raw_texts = {
    derp_map = jsonencode({ HomeParams = { RegionScore = local.scores }, Regions = local.map_content })
    policy = "\"derpMap\": ${jsonencode(merge(
      { for name in ["HomeParams"] : name => { RegionScore = local.scores } if local.has_preference },
      { Regions = local.map_content },
    ))}\n"
    headscale = join("", concat(
      local.has_preference ? ["homeparams:\n  regionscore:\n"] : [],
      [for region in local.map_regions : "    ${region.id}: ${jsonencode(local.scores[region.id])}\n" if local.has_preference],
      ["regions:\n"],
      [for region in local.map_regions : join("", concat(
        ["  ${region.id}:\n    regionid: ${region.id}\n    regioncode: ${jsonencode(region.code)}\n    regionname: ${jsonencode(region.name)}\n"],
        [for name, value in local.degrees[region.id] : "    ${lower(name)}: ${jsonencode(value)}\n"],
        region.state == "draining" ? ["    nomeasurenohome: true\n"] : [],
        ["    nodes:\n"],
        flatten([for node in local.map_nodes[region.id] : [
          for at, field in [for name in local.yaml_fields : name if can(node[name])] :
          "      ${at == 0 ? "-" : " "} ${lower(field)}: ${jsonencode(node[field])}\n"
        ]]),
      ))],
    ))
  }

  texts = {
    for name, text in merge(local.raw_texts, local.raw_settings) : name => replace(replace(replace(replace(replace(replace(replace(text,
      "\\\\", "\u0001"),
      "\\u003c", "<"), "\\u003e", ">"), "\\u0026", "&"), "\\u2028", "\u2028"), "\\u2029", "\u2029"),
    "\u0001", "\\\\")
  }
}
