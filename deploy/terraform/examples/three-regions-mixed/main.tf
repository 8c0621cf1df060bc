# A fleet of three regions at Hetzner, DigitalOcean and AWS, with its names at Cloudflare. Add a region: an entry in regions.yaml
# and one in the cloud's locals below. Drain or switch off a region: its state in regions.yaml.

terraform {
  required_version = ">= 1.6"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.54"
    }
    digitalocean = {
      source  = "digitalocean/digitalocean"
      version = "~> 2.50"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.0"
    }
  }
}

# Tokens and keys are in the environment.
provider "hcloud" {}
provider "digitalocean" {}
provider "cloudflare" {}

# One provider for each region of AWS; provider 6 needs none, but providers of both versions know this.
provider "aws" {
  alias  = "singapore"
  region = "ap-southeast-1"
}

locals {
  regions_yaml = file("${path.module}/regions.yaml")

  # Where each relay stands. regions.yaml says what it is.
  at_hcloud       = { "900a" = "fsn1", "900b" = "nbg1" }
  at_digitalocean = { "901a" = "nyc3" }
  at_aws          = ["902a"]

  hosted = concat(keys(local.at_hcloud), keys(local.at_digitalocean), local.at_aws)
}

module "fleet" {
  source = "../../modules/fleet"

  regions_yaml = local.regions_yaml
  settings     = { verify-client-url = var.verify_client_url, serve-map = true }
}

# A relay without a host, or a host without a relay, is a mistake.
check "hosts" {
  assert {
    condition     = toset(local.hosted) == toset(keys(module.fleet.nodes))
    error_message = "main.tf: has hosts for ${join(", ", local.hosted)}; expected ${join(", ", keys(module.fleet.nodes))}, the relays of regions.yaml."
  }
}

module "cloud_init" {
  source   = "../../modules/cloud-init"
  for_each = module.fleet.nodes

  node         = each.value
  regions_yaml = local.regions_yaml
  regions_url  = var.regions_url
  package      = var.package
  mesh_key     = var.mesh_key
  generation   = lookup(var.generations, each.key, 1)
}

module "hcloud" {
  source   = "../../modules/node-hcloud"
  for_each = local.at_hcloud

  node       = module.fleet.nodes[each.key]
  location   = each.value
  user_data  = module.cloud_init[each.key].user_data
  generation = module.cloud_init[each.key].generation
}

module "digitalocean" {
  source   = "../../modules/node-digitalocean"
  for_each = local.at_digitalocean

  node       = module.fleet.nodes[each.key]
  region     = each.value
  user_data  = module.cloud_init[each.key].user_data
  generation = module.cloud_init[each.key].generation
}

module "singapore" {
  source   = "../../modules/node-aws"
  for_each = toset(local.at_aws)

  providers = { aws = aws.singapore }

  node       = module.fleet.nodes[each.key]
  vpc_id     = var.singapore.vpc_id
  subnet_id  = var.singapore.subnet_id
  ami        = var.singapore.ami
  user_data  = module.cloud_init[each.key].user_data
  generation = module.cloud_init[each.key].generation
}

module "dns" {
  source = "../../modules/dns-cloudflare"

  zone_id = var.zone_id
  records = module.fleet.dns
}

output "relays" {
  description = "The relays' addresses, for regions.yaml."
  value = merge(
    { for name, host in module.hcloud : name => host.node },
    { for name, host in module.digitalocean : name => host.node },
    { for name, host in module.singapore : name => host.node },
  )
}

output "derp_map" {
  description = "The DERP map."
  value       = module.fleet.derp_map
}

output "headscale" {
  description = "The DERP map for Headscale's derp.paths: terraform output -raw headscale > derp.yaml"
  value       = module.fleet.headscale
}

output "policy" {
  description = "The DERP map for Tailscale's policy file."
  value       = module.fleet.policy
}
