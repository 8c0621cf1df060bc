# Hosts that something else makes and keeps. No provider: outputs only, for your own tools. `derpfleet render` prints the
# same without Terraform.

terraform {
  required_version = ">= 1.6"
}

variable "verify_client_url" {
  description = "Who may use the relays: Headscale's /verify, for example."
  type        = string
  default     = "https://headscale.example.com/verify"
}

module "fleet" {
  source = "../../modules/fleet"

  regions_yaml = file("${path.module}/regions.yaml")
  settings     = { verify-client-url = var.verify_client_url }
}

output "derp_map" {
  description = "The DERP map."
  value       = module.fleet.derp_map
}

output "headscale" {
  description = "The DERP map for Headscale's derp.paths."
  value       = module.fleet.headscale
}

output "policy" {
  description = "The DERP map for Tailscale's policy file."
  value       = module.fleet.policy
}

output "settings" {
  description = "/etc/derpfleet/derpfleet.yaml of each relay."
  value       = { for name, node in module.fleet.nodes : name => node.settings_yaml }
}

output "dns" {
  description = "The records that the relays need."
  value       = module.fleet.dns
}

output "firewall" {
  description = "What each host must let in from everywhere."
  value = {
    for name, node in module.fleet.nodes : name => concat(
      ["tcp/80", "tcp/${node.derp_port}"],
      [for port in [node.stun_port] : "udp/${port}" if port != null],
    )
  }
}

output "mesh" {
  description = "Who connects to whom."
  value       = module.fleet.mesh
}
