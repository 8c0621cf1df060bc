variable "node" {
  description = "The relay: one of the fleet module's nodes."
  type = object({
    name          = string
    settings      = any
    settings_yaml = string
    unit_drop_in  = string
  })
  nullable = false

  validation {
    condition = anytrue([
      for option in ["open-relay", "verify-client-url", "verify-clients", "allow-keys-file", "lease-file"] :
      !contains(["false", "null"], try(jsonencode(var.node.settings[option]), "null"))
    ])
    error_message = "node.settings: say not who may use the relay, so it would not start; expected verify-client-url, verify-clients, allow-keys-file, lease-file or open-relay in the settings of the fleet module."
  }
}

variable "regions_yaml" {
  description = "The content of the fleet's file, the same for all relays."
  type        = string
  nullable    = false
}

variable "package" {
  description = "The .deb of the release to install: where it is, and its SHA-256 in hex."
  type        = object({ url = string, sha256 = string })
  nullable    = false

  validation {
    condition     = can(regex("^(https|file)://[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$", var.package.url))
    error_message = "package.url: invalid value ${jsonencode(var.package.url)}; expected a URL that begins with https://."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "package.sha256: invalid value ${jsonencode(var.package.sha256)}; expected 64 lower-case hex digits, as sha256sum prints them."
  }
}

variable "mesh_key" {
  description = "The fleet's mesh key (derpfleet keygen -mesh). It is then in the user data, which programs on the host can read. null: put /etc/derpfleet/mesh.key on the host yourself; the relay starts when it is there."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.mesh_key == null || can(regex("^([0-9a-f]{64}[ \\n]*)+$", var.mesh_key))
    error_message = "mesh_key: invalid value; expected 64 lower-case hex digits, as derpfleet keygen -mesh prints them."
  }
}

variable "regions_url" {
  description = "An https URL that has the fleet's file. The host fetches it every minute, checks it and gives it to the relay, so that an edit of the file reaches all relays. null: the file stays as it is."
  type        = string
  default     = null

  validation {
    condition     = var.regions_url == null || can(regex("^https://[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$", var.regions_url))
    error_message = "regions_url: invalid value ${try(jsonencode(var.regions_url), "")}; expected a URL that begins with https://."
  }
}

variable "ssh_authorized_keys" {
  description = "SSH public keys of the image's default user. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "generation" {
  description = "Change it to replace the host by a new one, one relay of a region at a time. Other changes of the user data replace nothing."
  type        = number
  default     = 1
  nullable    = false
}
