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

variable "zone" {
  description = "Name of the zone that has the relays' names."
  type        = string
  nullable    = false
}
