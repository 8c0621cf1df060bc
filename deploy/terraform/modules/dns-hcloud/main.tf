resource "hcloud_zone_rrset" "main" {
  for_each = var.records

  zone = var.zone
  # Relative to the zone; @ is the zone itself.
  name    = each.value.name == var.zone ? "@" : trimsuffix(each.value.name, ".${var.zone}")
  type    = each.value.type
  ttl     = each.value.ttl
  records = [for address in each.value.addresses : { value = address }]

  lifecycle {
    precondition {
      condition     = each.value.name == var.zone || endswith(each.value.name, ".${var.zone}")
      error_message = "records: ${each.value.name} is not in the zone ${var.zone}; expected names that end with it."
    }
  }
}
