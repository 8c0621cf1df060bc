# One relay on one host at Hetzner, with its names in Hetzner's DNS.

terraform {
  required_version = ">= 1.6"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.54"
    }
  }
}

# The token is in HCLOUD_TOKEN.
provider "hcloud" {}

variable "package" {
  description = "The .deb of the release: its URL and SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "verify_client_url" {
  description = "Who may use the relay: Headscale's /verify, for example."
  type        = string
}

variable "zone" {
  description = "The DNS zone at Hetzner that has the relay's name."
  type        = string
}

locals {
  regions_yaml = file("${path.module}/regions.yaml")
}

module "fleet" {
  source = "../../modules/fleet"

  regions_yaml = local.regions_yaml
  settings     = { verify-client-url = var.verify_client_url }
}

module "cloud_init" {
  source = "../../modules/cloud-init"

  node         = module.fleet.nodes["900a"]
  regions_yaml = local.regions_yaml
  package      = var.package
}

module "relay" {
  source = "../../modules/node-hcloud"

  node       = module.fleet.nodes["900a"]
  location   = "fsn1"
  user_data  = module.cloud_init.user_data
  generation = module.cloud_init.generation
}

module "dns" {
  source = "../../modules/dns-hcloud"

  zone    = var.zone
  records = module.fleet.dns
}

output "relay" {
  description = "The relay's addresses, for regions.yaml."
  value       = module.relay.node
}

output "derp_map" {
  description = "The DERP map."
  value       = module.fleet.derp_map
}

output "headscale" {
  description = "The DERP map for Headscale's derp.paths: terraform output -raw headscale > derp.yaml"
  value       = module.fleet.headscale
}
