# The relays of one region in a Kubernetes cluster: a release of the chart with the fleet's file as it is. The cluster is the
# provider's.

terraform {
  required_version = ">= 1.6"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
  }
}
