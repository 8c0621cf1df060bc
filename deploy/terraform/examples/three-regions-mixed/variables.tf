variable "package" {
  description = "The .deb of the release: its URL and SHA-256."
  type        = object({ url = string, sha256 = string })
}

variable "verify_client_url" {
  description = "Who may use the relays: Headscale's /verify, for example."
  type        = string
}

variable "mesh_key" {
  description = "The fleet's mesh key: derpfleet keygen -mesh. In TF_VAR_mesh_key."
  type        = string
  sensitive   = true
}

variable "regions_url" {
  description = "Where the hosts fetch regions.yaml every minute. null: copy it to them when it changes."
  type        = string
  default     = null
}

variable "generations" {
  description = "By relay. Raise one of a region at a time to replace its host; set protect to false before."
  type        = map(number)
  default     = {}
}

variable "zone_id" {
  description = "The zone at Cloudflare that has the relays' names."
  type        = string
}

variable "singapore" {
  description = "Network and image in ap-southeast-1: a public subnet with IPv4 and IPv6, an image of Debian or Ubuntu."
  type        = object({ vpc_id = string, subnet_id = string, ami = string })
}
