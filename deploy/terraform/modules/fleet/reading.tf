# The file as it was read. YAML here is that of Terraform, which takes some words for truth values (off, no, yes, on).

locals {
  content = yamldecode(var.regions_yaml)

  # Empty where the content has another shape; problems.tf says so.
  raw_regions = try({ for key, region in local.content.regions : key => region }, {})
  raw_nodes = flatten([
    for key, region in local.raw_regions : [
      for at, node in try([for one in region.nodes : one], []) : {
        path   = "regions.${key}.nodes[${at}]"
        region = key
        node   = node
      }
    ]
  ])

  # Problems are reported by every output, so nothing else is made of a file that has any.
  is_valid = length(local.problems) == 0

  regions = {
    for key, region in local.raw_regions : tonumber(key) => {
      id        = tonumber(key)
      code      = tostring(region.code)
      name      = try(region.name, tostring(region.code))
      latitude  = try(region.latitude, null)
      longitude = try(region.longitude, null)
      # `off` without quotes is the truth value false.
      state  = lookup({ active = "active", draining = "draining" }, try(tostring(region.state), "active"), "off")
      prefer = try(region.preferWithinMs, null)
      nodes = [
        for node in region.nodes : {
          name       = tostring(node.name)
          hostname   = node.hostname
          cert_name  = try("sha256-raw:${lower(replace(replace(node.pin, "sha256-raw:", ""), ":", ""))}", node.certname, null)
          ipv4       = try(node.ipv4, null)
          ipv6       = try(node.ipv6, null)
          stun_port  = try(node.stunport, 0) == 0 ? null : node.stunport
          derp_port  = try(node.derpport, 443)
          can_port80 = try(node.canport80, false)
          is_standby = try(node.standby, false)
          mesh_host  = try(node.mesh, null)
        }
      ]
    } if local.is_valid
  }

  # By number, which maps do not keep.
  region_order = [for padded in sort([for id in keys(local.regions) : format("%05d", id)]) : tostring(tonumber(padded))]
}
