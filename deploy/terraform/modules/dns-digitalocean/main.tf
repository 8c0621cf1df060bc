resource "digitalocean_record" "main" {
  for_each = merge([
    for key, record in var.records : {
      for address in record.addresses : "${key} ${address}" => { name = record.name, type = record.type, ttl = record.ttl, address = address }
    }
  ]...)

  domain = var.domain
  # Relative to the domain; @ is the domain itself.
  name  = each.value.name == var.domain ? "@" : trimsuffix(each.value.name, ".${var.domain}")
  type  = each.value.type
  ttl   = each.value.ttl
  value = each.value.address

  lifecycle {
    precondition {
      condition     = each.value.name == var.domain || endswith(each.value.name, ".${var.domain}")
      error_message = "records: ${each.value.name} is not in the domain ${var.domain}; expected names that end with it."
    }
  }
}
