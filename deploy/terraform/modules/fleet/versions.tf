# The fleet of regions.yaml: its DERP map, and what its hosts, DNS and firewalls need. No provider, no resource, no state: only
# outputs. The same bytes as `derpfleet map -all` and `derpfleet render terraform`; docs/terraform.md explains it.

terraform {
  required_version = ">= 1.6"
}
