# Every mistake in the file and in the settings, as `derpfleet map check` words it: the field, its value, what was expected.

locals {
  expected = {
    regions        = "regions by number, such as 900:"
    code           = "a short name such as fra, of letters, digits, dots and hyphens"
    longname       = "a text of 1 to 100 printable characters"
    latitude       = "degrees, -90 to 90"
    longitude      = "degrees, -180 to 180"
    state          = "active, draining or off"
    preferWithinMs = "whole milliseconds, 0 to 1000"
    nodes          = "a list of at least one relay"
    name           = "a name that is unique in the fleet, of letters, digits, dots and hyphens"
    hostname       = "a host name or an IP address"
    ipv4           = "an IPv4 address, or none"
    ipv6           = "an IPv6 address, or none"
    derpport       = "a port, 1 to 65535"
    stunport       = "a port, or -1 for none"
    canport80      = "true or false"
    certname       = "a DNS name, or sha256-raw: and 64 lower-case hex digits"
    pin            = "the SHA-256 digest of the relay's certificate, 64 hex digits"
    standby        = "true or false"
    mesh           = "a host name or an IP address that siblings dial"
  }

  # What the JSON of a value looks like. Numbers stand for names: 901 without quotes is one to YAML.
  name_json   = "^(\"[\\w.-]{1,63}\"|[0-9][0-9.]{0,62})$"
  host_json   = "^\"[\\w.:-]{1,253}\"$"
  whole_json  = "^-?[0-9]+$"
  number_json = "^-?[0-9.]+$"
  byte        = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
  ipv4_json   = "^\"(none|(${local.byte}[.]){3}${local.byte})\"$"

  region_fields = ["code", "name", "latitude", "longitude", "state", "preferWithinMs", "nodes"]
  node_fields   = ["name", "hostname", "ipv4", "ipv6", "derpport", "stunport", "canport80", "certname", "pin", "standby", "mesh"]

  region_checks = flatten([
    for key, region in local.raw_regions : [
      {
        path = "regions.${key}.code", expected = "code", json = try(jsonencode(region.code), "")
        ok   = can(regex(local.name_json, jsonencode(region.code)))
      },
      {
        path = "regions.${key}.name", expected = "longname", json = try(jsonencode(region.name), "")
        ok = !can(region.name) || (
          can(regex("^\"", jsonencode(region.name))) &&
          can(regex("^(?s:.){1,100}$", region.name)) &&
          !can(regex("[\\p{Cc}\\p{Zl}\\p{Zp}\\x{FEFF}\\x{FFFE}\\x{FFFF}]", region.name))
        )
      },
      {
        path = "regions.${key}.latitude", expected = "latitude", json = try(jsonencode(region.latitude), "")
        ok   = !can(region.latitude) || try(can(regex(local.number_json, jsonencode(region.latitude))) && abs(region.latitude) <= 90, false)
      },
      {
        path = "regions.${key}.longitude", expected = "longitude", json = try(jsonencode(region.longitude), "")
        ok   = !can(region.longitude) || try(can(regex(local.number_json, jsonencode(region.longitude))) && abs(region.longitude) <= 180, false)
      },
      {
        path = "regions.${key}.state", expected = "state", json = try(jsonencode(region.state), "")
        ok   = !can(region.state) || contains(["\"active\"", "\"draining\"", "\"off\"", "false"], try(jsonencode(region.state), ""))
      },
      {
        path = "regions.${key}.preferWithinMs", expected = "preferWithinMs", json = try(jsonencode(region.preferWithinMs), "")
        ok   = !can(region.preferWithinMs) || try(can(regex(local.whole_json, jsonencode(region.preferWithinMs))) && region.preferWithinMs >= 0 && region.preferWithinMs <= 1000, false)
      },
      {
        path = "regions.${key}.nodes", expected = "nodes", json = try(jsonencode(region.nodes), "")
        ok   = try(can(regex("^\\[", jsonencode(region.nodes))) && length(region.nodes) >= 1 && length(region.nodes) <= 1000, false)
      },
    ] if can(keys(region))
  ])

  node_checks = flatten([
    for one in local.raw_nodes : [
      {
        path = "${one.path}.name", expected = "name", json = try(jsonencode(one.node.name), "")
        ok   = can(regex(local.name_json, jsonencode(one.node.name)))
      },
      {
        path = "${one.path}.hostname", expected = "hostname", json = try(jsonencode(one.node.hostname), "")
        ok   = can(regex(local.host_json, jsonencode(one.node.hostname)))
      },
      {
        path = "${one.path}.ipv4", expected = "ipv4", json = try(jsonencode(one.node.ipv4), "")
        ok   = !can(one.node.ipv4) || can(regex(local.ipv4_json, jsonencode(one.node.ipv4)))
      },
      {
        path = "${one.path}.ipv6", expected = "ipv6", json = try(jsonencode(one.node.ipv6), "")
        ok = !can(one.node.ipv6) || (
          can(regex("^\"(none|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\"$", jsonencode(one.node.ipv6))) &&
          (try(one.node.ipv6, "") == "none" || can(cidrhost("${one.node.ipv6}/128", 0)))
        )
      },
      {
        path = "${one.path}.derpport", expected = "derpport", json = try(jsonencode(one.node.derpport), "")
        ok   = !can(one.node.derpport) || try(can(regex(local.whole_json, jsonencode(one.node.derpport))) && one.node.derpport >= 1 && one.node.derpport <= 65535, false)
      },
      {
        path = "${one.path}.stunport", expected = "stunport", json = try(jsonencode(one.node.stunport), "")
        ok   = !can(one.node.stunport) || try(can(regex(local.whole_json, jsonencode(one.node.stunport))) && one.node.stunport >= -1 && one.node.stunport <= 65535, false)
      },
      {
        path = "${one.path}.canport80", expected = "canport80", json = try(jsonencode(one.node.canport80), "")
        ok   = !can(one.node.canport80) || contains(["true", "false"], try(jsonencode(one.node.canport80), ""))
      },
      {
        path = "${one.path}.certname", expected = "certname", json = try(jsonencode(one.node.certname), "")
        ok   = !can(one.node.certname) || can(regex("^\"(sha256-raw:[0-9a-f]{64}|[\\w.-]{1,253})\"$", jsonencode(one.node.certname)))
      },
      {
        path = "${one.path}.pin", expected = "pin", json = try(jsonencode(one.node.pin), "")
        ok   = !can(one.node.pin) || can(regex("^\"(sha256-raw:)?[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}\"$", jsonencode(one.node.pin)))
      },
      {
        path = "${one.path}.standby", expected = "standby", json = try(jsonencode(one.node.standby), "")
        ok   = !can(one.node.standby) || contains(["true", "false"], try(jsonencode(one.node.standby), ""))
      },
      {
        path = "${one.path}.mesh", expected = "mesh", json = try(jsonencode(one.node.mesh), "")
        ok   = !can(one.node.mesh) || can(regex(local.host_json, jsonencode(one.node.mesh)))
      },
    ] if can(keys(one.node))
  ])

  field_problems = [
    for check in concat(local.region_checks, local.node_checks) :
    check.json == ""
    ? "${check.path}: is missing; expected ${local.expected[check.expected]}"
    : "${check.path}: invalid value${can(regex("^[\\[{]", check.json)) ? "" : " ${substr(check.json, 0, 80)}"}; expected ${local.expected[check.expected]}${contains(["true", "false"], check.json) && !contains(["canport80", "standby"], check.expected) ? ", in quotes if it is a word that YAML takes for a truth value" : ""}"
    if !check.ok
  ]

  shape_problems = concat(
    can(keys(local.content)) ? [] : ["regions_yaml: is no YAML mapping; expected ${local.expected.regions}"],
    can(keys(local.content)) && !can(keys(local.content.regions)) ? ["regions: ${!can(local.content.regions) ? "is missing" : can(regex("^\\[", jsonencode(local.content.regions))) ? "invalid value" : "invalid value ${jsonencode(local.content.regions)}"}; expected ${local.expected.regions}"] : [],
    [for key in try(keys(local.content), []) : "${key}: unknown key; expected one of the keys in docs/fleet.md" if key != "regions"],
    [for key, region in local.raw_regions : "regions.${key}: invalid value${can(regex("^\\[", jsonencode(region))) ? "" : " ${jsonencode(region)}"}; expected the fields of a region" if !can(keys(region))],
    [for one in local.raw_nodes : "${one.path}: invalid value${can(regex("^\\[", jsonencode(one.node))) ? "" : " ${jsonencode(one.node)}"}; expected the fields of a relay" if !can(keys(one.node))],
    flatten([
      for key, region in local.raw_regions : [
        for field in try(keys(region), []) : "regions.${key}.${field}: unknown key; expected one of the keys in docs/fleet.md"
        if !contains(local.region_fields, field)
      ]
    ]),
    flatten([
      for one in local.raw_nodes : [
        for field in try(keys(one.node), []) : "${one.path}.${field}: unknown key; expected one of the keys in docs/fleet.md"
        if !contains(local.node_fields, field)
      ]
    ]),
    [
      for found in regexall("(?:canport80|standby)[\"']?:[ \\t]+((?i:yes|no|on|off|y|n))[ \\t]*(?:[,}#\\r\\n]|$)", var.regions_yaml) :
      "regions_yaml: invalid value ${jsonencode(found[0])} of canport80 or standby; expected true or false"
    ],
    [
      for found in regexall("state[\"']?:[ \\t]+((?i:no|n|false))[ \\t]*(?:[,}#\\r\\n]|$)", var.regions_yaml) :
      "regions_yaml: invalid value ${jsonencode(found[0])} of state; expected ${local.expected.state}"
    ],
  )

  names = { for one in local.raw_nodes : try(tostring(one.node.name), "") => one... if can(regex(local.name_json, jsonencode(one.node.name))) }
  numbers = {
    for key in keys(local.raw_regions) : try(tostring(tonumber(key)), key) => key...
  }
  states = [for key, region in local.raw_regions : try(tostring(region.state), "active")]

  fleet_problems = concat(
    can(keys(local.content.regions)) && length(local.raw_regions) == 0 ? ["regions: is empty; expected at least one region"] : [],
    length(local.raw_nodes) > 10000 ? ["regions: has ${length(local.raw_nodes)} relays; expected at most 10000"] : [],
    [
      for key in keys(local.raw_regions) : "regions.${key}: invalid region number ${jsonencode(key)}; expected 1 to 65535"
      if !can(regex("^[0-9]+$", key)) || try(tonumber(key) < 1 || tonumber(key) > 65535, true)
    ],
    [for number, same in local.numbers : "regions.${same[0]}: is region ${number}, like ${jsonencode(same[1])}; expected each region once" if length(same) > 1],
    length(local.states) > 0 && alltrue([for state in local.states : contains(["off", "false"], state)]) ? ["regions: all regions are off; expected at least one that is active or draining"] : [],
    flatten([
      for name, same in local.names : [
        for at, one in same : "${one.path}.name: name ${jsonencode(name)} is already used in region ${same[at - 1].region}; expected a unique name"
        if at > 0
      ]
    ]),
    [for one in local.raw_nodes : "${one.path}.pin: conflicts with certname; expected one of the two" if can(one.node.pin) && can(one.node.certname)],
  )

  settings_problems = concat(
    can(keys(var.settings)) ? [] : ["settings: invalid value; expected options of derpfleet serve by name"],
    [
      for name in try(keys(var.settings), []) : "settings.${name}: unknown option; expected one in docs/configuration.md"
      if !contains(local.option_names, name)
    ],
    [
      for name in try(keys(var.settings), []) : "settings.${name}: is each relay's own; expected the value in regions.yaml"
      if contains(["hostname", "node", "region", "stun", "stun-port"], name)
    ],
    [
      for name, value in try({ for key, one in var.settings : key => one }, {}) : "settings.${name}: invalid value; expected a text, a number, a truth value or a list of them"
      if !can(regex("^(\"|-?[0-9]|true|false|null|\\[([^\\[{])*\\]$)", jsonencode(value)))
    ],
  )

  problems = concat(local.shape_problems, local.field_problems, local.fleet_problems, local.settings_problems)
  pointer  = "The fleet is invalid; the output derp_map says why."
  refusal  = "The fleet is invalid, ${length(local.problems)} problem(s):\n  ${join("\n  ", local.problems)}"
}

# Valid, and probably not meant.
check "region_numbers" {
  assert {
    condition = alltrue([for id, region in local.regions : region.id >= 900 && region.id <= 999])
    error_message = "regions: Tailscale's policy file refuses the region numbers ${join(", ", [
      for id, region in local.regions : id if region.id < 900 || region.id > 999
    ])}; expected 900 to 999."
  }
}

check "region_codes" {
  assert {
    condition     = length(distinct([for region in values(local.regions) : region.code])) == length(local.regions)
    error_message = "regions: several have the same code; expected each its own."
  }
}

check "home" {
  assert {
    condition     = !local.is_valid || anytrue([for region in values(local.regions) : region.state == "active"])
    error_message = "regions: no region is active, so clients find no new home; expected at least one active region."
  }
}
