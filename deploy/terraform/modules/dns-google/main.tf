resource "google_dns_record_set" "main" {
  for_each = var.records

  managed_zone = var.managed_zone
  name         = "${each.value.name}."
  type         = each.value.type
  ttl          = each.value.ttl
  rrdatas      = each.value.addresses
}
