variable "regions_yaml" {
  description = "The content of the fleet's file. Give the fleet module the same: it has the checks."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Number of the region that the cluster runs."
  type        = number
  nullable    = false

  validation {
    condition     = can(yamldecode(var.regions_yaml).regions[tostring(var.region)])
    error_message = "region: invalid value ${var.region}; expected a region of regions_yaml."
  }
}

variable "values" {
  description = "Values of the chart besides the fleet's, such as { admission = { verifyClientUrl = \"https://headscale.example.com/verify\" } }."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(try(keys(var.values), []), ["region", "regions"])) == 0
    error_message = "values: has region or regions; expected them in region and regions_yaml only."
  }
}

variable "name" {
  description = "Name of the release."
  type        = string
  default     = "derpfleet"
  nullable    = false
}

variable "namespace" {
  description = "Namespace of the release; it is created."
  type        = string
  default     = "derpfleet"
  nullable    = false
}

variable "chart" {
  description = "The chart: a folder, a packed chart, or an oci:// address."
  type        = string
  nullable    = false
}

variable "chart_version" {
  description = "Version of a chart that is not a file. null: the newest."
  type        = string
  default     = null
}

variable "timeout" {
  description = "Seconds that a roll-out may take. Each relay drains before the next one is replaced."
  type        = number
  default     = 900
  nullable    = false
}
