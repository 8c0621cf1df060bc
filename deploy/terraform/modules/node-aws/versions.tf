# A relay's host at AWS: an elastic address and a network interface that outlive it, a security group, an instance. The region is
# the provider's: give the module the provider of the region (providers = { aws = aws.frankfurt }).

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}
