variable "regions_yaml" {
  description = "The content of the fleet's file: file(\"regions.yaml\"). docs/fleet.md lists its fields."
  type        = string
  nullable    = false
}

variable "settings" {
  description = "Options of `derpfleet serve` for all relays, such as { verify-client-url = \"https://headscale.example.com/verify\" }. docs/configuration.md lists them."
  type        = any
  default     = {}
  nullable    = false
}
