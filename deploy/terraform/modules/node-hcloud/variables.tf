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
    condition     = length(var.user_data) <= 32768
    error_message = "user_data: is longer than this cloud takes; expected at most 32768 characters."
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

variable "location" {
  description = "Location, such as fsn1."
  type        = string
  nullable    = false
}

variable "server_type" {
  description = "Type of the server."
  type        = string
  default     = "cx22"
  nullable    = false
}

variable "image" {
  description = "Image with cloud-init and apt: Debian 12 or later, Ubuntu 22.04 or later."
  type        = string
  default     = "debian-12"
  nullable    = false
}

variable "ssh_keys" {
  description = "Names of SSH keys of the project. Empty: none, and Hetzner mails a root password."
  type        = list(string)
  default     = []
  nullable    = false
}
