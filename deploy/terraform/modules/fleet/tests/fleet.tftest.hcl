# The bytes of the outputs are compared with those of the program by the project's tests.

variables {
  regions_yaml = <<-EOT
    regions:
      900:
        code: fra
        name: "Frankfurt <Main> & \\u003c"
        latitude: 50.11
        state: draining
        nodes:
          - { name: 900a, hostname: derp1.fra.example.com, ipv4: 192.0.2.1, ipv6: "2001:db8::1" }
          - { name: 900b, hostname: derp2.fra.example.com, derpport: 8443, stunport: -1, mesh: 10.0.0.2 }
      901:
        code: nyc
        preferWithinMs: 20
        nodes: [{ name: 901a, hostname: derp1.nyc.example.com, pin: "AB:${join(":", [for at in range(31) : "0F"])}" }]
      902:
        code: lab
        state: off
        nodes: [{ name: 902a, hostname: 203.0.113.7 }]
  EOT
  settings     = { verify-client-url = "https://headscale.example.com/verify" }
}

run "map" {
  assert {
    condition = output.derp_map == join("", [
      "{\"HomeParams\":{\"RegionScore\":{\"900\":1,\"901\":0.4}},\"Regions\":{\"900\":{\"Latitude\":50.11,\"NoMeasureNoHome\":true,\"Nodes\":[",
      "{\"HostName\":\"derp1.fra.example.com\",\"IPv4\":\"192.0.2.1\",\"IPv6\":\"2001:db8::1\",\"Name\":\"900a\",\"RegionID\":900},",
      "{\"DERPPort\":8443,\"HostName\":\"derp2.fra.example.com\",\"Name\":\"900b\",\"RegionID\":900,\"STUNPort\":-1}],",
      "\"RegionCode\":\"fra\",\"RegionID\":900,\"RegionName\":\"Frankfurt <Main> & \\\\u003c\"},",
      "\"901\":{\"Nodes\":[{\"CertName\":\"sha256-raw:ab${join("", [for at in range(31) : "0f"])}\",\"HostName\":\"derp1.nyc.example.com\",\"Name\":\"901a\",\"RegionID\":901}],",
      "\"RegionCode\":\"nyc\",\"RegionID\":901,\"RegionName\":\"nyc\"}}}",
    ])
    error_message = "Another map: ${output.derp_map}"
  }
  assert {
    condition     = keys(output.dns) == ["derp1.fra.example.com A", "derp1.fra.example.com AAAA"]
    error_message = "Other records."
  }
  assert {
    condition     = output.mesh["902a"]["900b"] == { host = "10.0.0.2", port = 8443, same_region = false }
    error_message = "Another way to a sibling."
  }
}

run "wrong_field" {
  command = plan
  variables {
    regions_yaml = "regions: { 900: { code: fra, nodes: [{ name: 900a, hostname: derp1.example.com, stunport: -2 }] } }"
  }
  expect_failures = [output.derp_map, output.headscale, output.policy, output.nodes, output.dns, output.mesh, output.has_admission]
}

run "unlikely" {
  variables {
    regions_yaml = "regions: { 20: { code: fra, state: draining, nodes: [{ name: 900a, hostname: derp1.example.com }] } }"
  }
  expect_failures = [check.region_numbers, check.home]
}
