resource "cloudflare_dns_record" "main" {
  for_each = merge([
    for key, record in var.records : {
      for address in record.addresses : "${key} ${address}" => { name = record.name, type = record.type, ttl = record.ttl, address = address }
    }
  ]...)

  zone_id = var.zone_id
  name    = each.value.name
  type    = each.value.type
  ttl     = each.value.ttl
  content = each.value.address
  proxied = false
}
