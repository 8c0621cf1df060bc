# A relay's host at DigitalOcean: reserved addresses that outlive it, a firewall, a droplet.

terraform {
  required_version = ">= 1.6"
  required_providers {
    digitalocean = {
      source  = "digitalocean/digitalocean"
      version = "~> 2.50"
    }
  }
}
