# The relays, each once, with what its host has to know. The same rules as src/fleet/fleet-relays.ts and relay-settings.ts.

locals {
  entries = flatten([
    for id in local.region_order : [
      for node in local.regions[id].nodes : {
        region = local.regions[id].id
        node   = node
        key    = lower("${node.hostname}${node.derp_port == 443 ? "" : ":${node.derp_port}"}${node.mesh_host == null ? "" : "/${node.mesh_host}"}")
      }
    ]
  ])
  by_relay = { for entry in local.entries : entry.key => entry... }

  # A relay is named by where it stands: by its first node that is no standby.
  relays = {
    for key, all in local.by_relay : key => {
      entries = concat([for one in all : one if !one.node.is_standby], [for one in all : one if one.node.is_standby])
    }
  }
  names_of = { for key, relay in local.relays : key => relay.entries[0].node.name }
  key_of   = { for key, name in local.names_of : name => key }
  regions_of = {
    for key, relay in local.relays : key => distinct([for one in relay.entries : one.region])
  }
  hosts     = { for key, relay in local.relays : lower(relay.entries[0].node.hostname) => key... }
  is_meshed = length(local.relays) > 1

  mesh = {
    for name, key in local.key_of : name => {
      for other, other_key in local.key_of : other => {
        host        = coalesce(local.relays[other_key].entries[0].node.mesh_host, local.relays[other_key].entries[0].node.hostname)
        port        = local.relays[other_key].entries[0].node.derp_port
        same_region = length(setintersection(local.regions_of[key], local.regions_of[other_key])) > 0
      } if other != name
    }
  }

  # Without another relay in its region: all that are no standby there are this one.
  is_alone = {
    for key, relay in local.relays : key => length([
      for entry in local.entries : entry
      if entry.region == relay.entries[0].region && !entry.node.is_standby && entry.key != key
    ]) == 0
  }

  settings = {
    for name, key in local.key_of : name => merge(
      {
        listen       = ":${local.relays[key].entries[0].node.derp_port}"
        key-file     = "/var/lib/derpfleet/derper.key"
        regions-file = "/etc/derpfleet/regions.yaml"
      },
      {
        for option, value in {
          certmode      = local.is_pinned[key] ? "manual" : local.relays[key].entries[0].node.derp_port == 443 ? null : "letsencrypt"
          certdir       = local.is_pinned[key] ? "/etc/derpfleet/certs" : null
          mesh-psk-file = local.is_meshed ? "/run/credentials/derpfleet.service/mesh.key" : null
          drain-settle  = local.is_meshed && local.is_alone[key] ? "30s" : null
        } : option => value if value != null
      },
      { for option, value in var.settings : option => value if value != null },
      { hostname = local.relays[key].entries[0].node.hostname },
      { for option in ["node"] : option => name if length(local.hosts[lower(local.relays[key].entries[0].node.hostname)]) > 1 },
      { for option in ["stun"] : option => false if local.stun_ports[key] == -1 },
      { for option in ["stun-port"] : option => local.stun_ports[key] if !contains([-1, 3478], local.stun_ports[key]) },
    )
  }
  is_pinned  = { for key, relay in local.relays : key => try(startswith(relay.entries[0].node.cert_name, "sha256-raw:"), false) }
  stun_ports = { for key, relay in local.relays : key => coalesce(relay.entries[0].node.stun_port, 3478) }

  # A relay on a public address does not start without one of them.
  has_admission = anytrue([
    for option in ["open-relay", "verify-client-url", "verify-clients", "allow-keys-file", "lease-file"] :
    can(var.settings[option]) && try(jsonencode(var.settings[option]), "null") != "false" && try(jsonencode(var.settings[option]), "null") != "null"
  ])
  admission_hint = "# Who may use the relay? Add verify-client-url, verify-clients, allow-keys-file, lease-file or open-relay; it does not start without one of them.\n"

  raw_settings = {
    for name, settings in local.settings : "settings of ${name}" => join("", concat(
      ["# Settings of the relay ${name}, made from the fleet's file. Edit that file, and make this one anew.\n"],
      [for option, value in settings : "${option}: ${jsonencode(value)}\n"],
      local.has_admission ? [] : [local.admission_hint],
    ))
  }

  nodes = {
    for name, key in local.key_of : name => {
      name          = name
      nodes         = [for one in local.relays[key].entries : one.node.name]
      regions       = local.regions_of[key]
      hostname      = local.relays[key].entries[0].node.hostname
      ipv4          = local.relays[key].entries[0].node.ipv4
      ipv6          = local.relays[key].entries[0].node.ipv6
      derp_port     = local.relays[key].entries[0].node.derp_port
      stun_port     = local.stun_ports[key] == -1 ? null : local.stun_ports[key]
      settings      = local.settings[name]
      settings_yaml = local.texts["settings of ${name}"]
      unit_drop_in  = local.is_meshed ? "# The mesh key of the relay ${name}, which only root can read.\n[Service]\nLoadCredential=mesh.key:/etc/derpfleet/mesh.key\n" : null
    }
  }

  # Host names that are addresses need no record: a colon, or four numbers with dots.
  addresses = flatten([
    for key, relay in local.relays : [
      for type, address in { A = relay.entries[0].node.ipv4, AAAA = relay.entries[0].node.ipv6 } : {
        name                   = lower(relay.entries[0].node.hostname)
        type                   = type
        address                = address
      } if address != null && address != "none" && !can(regex(":|^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$", relay.entries[0].node.hostname))
    ]
  ])
  addresses_by_record = { for one in local.addresses : "${one.name} ${one.type}" => one... }
  dns = {
    for key, all in local.addresses_by_record : key => {
      name      = all[0].name
      type      = all[0].type
      ttl       = 300
      addresses = sort(distinct(all[*].address))
    }
  }
}
