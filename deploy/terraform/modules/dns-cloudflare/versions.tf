# A and AAAA records of the relays at Cloudflare, never proxied: a proxy breaks DERP.

terraform {
  required_version = ">= 1.6"
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.0"
    }
  }
}
