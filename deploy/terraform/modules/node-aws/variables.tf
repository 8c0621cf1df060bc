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

  # 16 KiB, compressed, before base64.
  validation {
    condition     = length(base64gzip(var.user_data)) <= 21844
    error_message = "user_data: is longer than this cloud takes, also compressed; expected at most 16384 bytes."
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

variable "vpc_id" {
  description = "The network of the host."
  type        = string
  nullable    = false
}

variable "subnet_id" {
  description = "A public subnet of it, with IPv4 and IPv6."
  type        = string
  nullable    = false
}

variable "ami" {
  description = "Image with cloud-init and apt: Debian 12 or later, Ubuntu 22.04 or later."
  type        = string
  nullable    = false
}

variable "instance_type" {
  description = "Type of the instance. Its processor must be that of the image and the package."
  type        = string
  default     = "t3.small"
  nullable    = false
}

variable "key_name" {
  description = "Name of an SSH key pair. null: none."
  type        = string
  default     = null
}
