variable "records" {
  description = "The fleet module's output dns."
  type = map(object({
    name      = string
    type      = string
    ttl       = number
    addresses = list(string)
  }))
  nullable = false
}

variable "managed_zone" {
  description = "Name of the managed zone that has the relays' names."
  type        = string
  nullable    = false
}
