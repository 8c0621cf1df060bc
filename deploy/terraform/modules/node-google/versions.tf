# A relay's host at Google: addresses that outlive it, firewall rules for it alone, an instance.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}
