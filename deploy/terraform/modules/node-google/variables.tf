variable "node" {
  description = "The relay: one of the fleet module's nodes."
  type = object({
    name      = string
    regions   = list(number)
    hostname  = string
    ipv4      = string
    ipv6      = string
    derp_port = number
    stun_port = number
  })
  nullable = false
}

variable "user_data" {
  description = "The user data of the cloud-init module. A change of it replaces nothing; a change of generation does."
  type        = string
  nullable    = false
  sensitive   = true

  validation {
    condition     = length(var.user_data) <= 262144
    error_message = "user_data: is longer than this cloud takes; expected at most 262144 characters."
  }
}

variable "generation" {
  description = "The generation of the cloud-init module. The host is replaced when it changes."
  type        = number
  nullable    = false
}

variable "metrics_cidrs" {
  description = "Networks that may read the metrics on port 9090. The setting admin decides on which address the relay has them. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.metrics_cidrs : can(cidrhost(cidr, 0))])
    error_message = "metrics_cidrs: invalid value ${jsonencode(var.metrics_cidrs)}; expected networks such as 192.0.2.0/24."
  }
}

variable "ssh_cidrs" {
  description = "Networks that may reach SSH. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.ssh_cidrs : can(cidrhost(cidr, 0))])
    error_message = "ssh_cidrs: invalid value ${jsonencode(var.ssh_cidrs)}; expected networks such as 192.0.2.0/24."
  }
}

variable "protect" {
  description = "Let the cloud refuse to delete the host, where it can. Set it to false, apply, and then destroy or replace."
  type        = bool
  default     = true
  nullable    = false
}

variable "zone" {
  description = "Zone, such as us-east1-b."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z0-9]+-[a-z]$", var.zone))
    error_message = "zone: invalid value ${jsonencode(var.zone)}; expected a zone such as us-east1-b."
  }
}

variable "network" {
  description = "The network of the subnetwork."
  type        = string
  nullable    = false
}

variable "subnetwork" {
  description = "A subnetwork in the zone's region, with IPv4 and external IPv6 (stack_type IPV4_IPV6, ipv6_access_type EXTERNAL)."
  type        = string
  nullable    = false
}

variable "machine_type" {
  description = "Type of the machine."
  type        = string
  default     = "e2-small"
  nullable    = false
}

variable "image" {
  description = "Image with cloud-init and apt: Google's Ubuntu images have it, its Debian images do not."
  type        = string
  default     = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
  nullable    = false
}
