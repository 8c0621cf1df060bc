# Each output refuses an invalid fleet; the first one says all its problems.

output "derp_map" {
  description = "The DERP map as canonical JSON: the bytes of `derpfleet map -format json -all`."
  value       = local.texts.derp_map

  precondition {
    condition     = local.is_valid
    error_message = local.refusal
  }
}

output "headscale" {
  description = "The DERP map for Headscale's derp.paths."
  value       = local.texts.headscale

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}

output "policy" {
  description = "The DERP map as a member of Tailscale's policy file."
  value       = local.texts.policy

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}

output "nodes" {
  description = "The relays by name: node names, regions (the first is where it stands), hostname, ipv4, ipv6, derp_port, stun_port (null: none), settings, settings_yaml (the file), unit_drop_in (null: none)."
  value       = local.nodes

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}

output "dns" {
  description = "DNS records by \"NAME TYPE\": name, type (A, AAAA), ttl, addresses."
  value       = local.dns

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}

output "mesh" {
  description = "Who connects to whom: by relay and sibling, the host and TCP port that it dials, and whether they share a region."
  value       = local.mesh

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}

output "has_admission" {
  description = "Whether the settings say who may use the relays. A relay on a public address does not start without."
  value       = local.has_admission

  precondition {
    condition     = local.is_valid
    error_message = local.pointer
  }
}
