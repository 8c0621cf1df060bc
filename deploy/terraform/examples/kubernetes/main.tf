# Two regions in two clusters, each a release of the chart.

terraform {
  required_version = ">= 1.6"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
  }
}

provider "helm" {
  alias      = "frankfurt"
  kubernetes = { config_path = var.kubeconfig, config_context = "frankfurt" }
}

provider "helm" {
  alias      = "newyork"
  kubernetes = { config_path = var.kubeconfig, config_context = "newyork" }
}

variable "kubeconfig" {
  description = "File with the contexts frankfurt and newyork."
  type        = string
  default     = "~/.kube/config"
}

variable "chart" {
  description = "The chart: deploy/helm/derpfleet, or where it is published."
  type        = string
  default     = "../../../helm/derpfleet"
}

variable "verify_client_url" {
  description = "Who may use the relays: Headscale's /verify, for example."
  type        = string
}

locals {
  regions_yaml = file("${path.module}/regions.yaml")

  # The mesh key is in a Secret of this name in both clusters:
  #   kubectl -n derpfleet create secret generic derpfleet-mesh --from-file=mesh.key
  values = {
    admission = { verifyClientUrl = var.verify_client_url }
    mesh      = { existingSecret = "derpfleet-mesh" }
  }
}

module "fleet" {
  source = "../../modules/fleet"

  regions_yaml = local.regions_yaml
}

module "frankfurt" {
  source    = "../../modules/helm-release"
  providers = { helm = helm.frankfurt }

  chart        = var.chart
  regions_yaml = local.regions_yaml
  region       = 900
  values       = local.values
}

module "newyork" {
  source    = "../../modules/helm-release"
  providers = { helm = helm.newyork }

  chart        = var.chart
  regions_yaml = local.regions_yaml
  region       = 901
  values       = local.values
}

output "derp_map" {
  description = "The DERP map."
  value       = module.fleet.derp_map
}

output "dns" {
  description = "The records that the relays need."
  value       = module.fleet.dns
}
