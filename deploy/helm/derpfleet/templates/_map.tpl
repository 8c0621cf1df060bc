{{/* The DERP map of the whole fleet, byte for byte as `derpfleet map -regions-file regions.yaml -all` and the relays write it. */}}

{{/* Degrees with four decimals, halves rounded up: shortDegrees of src/fleet/derp-map-writer.ts. */}}
{{- define "derpfleet.map.degrees" -}}
{{- toRawJson (divf (floor (addf (mulf . 10000) 0.5)) 10000) -}}
{{- end -}}

{{/* 20 / (30 + N), rounded down to six decimals: docs/decisions/0017-home-scores-from-the-file.md. */}}
{{- define "derpfleet.map.score" -}}
{{- if hasKey . "preferWithinMs" -}}
{{- toRawJson (divf (div 20000000 (add 30 (int .preferWithinMs))) 1000000) -}}
{{- else -}}
1
{{- end -}}
{{- end -}}

{{/* The certificate's name or digest that clients verify, or nothing. */}}
{{- define "derpfleet.map.certName" -}}
{{- if .pin -}}
{{- printf "sha256-raw:%s" (.pin | replace "sha256-raw:" "" | replace ":" "" | lower) -}}
{{- else -}}
{{- default "" .certname -}}
{{- end -}}
{{- end -}}

{{/* The members of a node as [[name, JSON]], in the order of Headscale's file: (list node id). */}}
{{- define "derpfleet.map.node" -}}
{{- $id := index . 1 -}}
{{- with index . 0 -}}
{{- $members := list (list "Name" (include "derpfleet.text" .name | toRawJson)) (list "RegionID" $id) (list "HostName" (toRawJson .hostname)) -}}
{{- $certName := include "derpfleet.map.certName" . -}}
{{- if $certName -}}{{- $members = append $members (list "CertName" (toRawJson $certName)) -}}{{- end -}}
{{- if .ipv4 -}}{{- $members = append $members (list "IPv4" (toRawJson .ipv4)) -}}{{- end -}}
{{- if .ipv6 -}}{{- $members = append $members (list "IPv6" (toRawJson .ipv6)) -}}{{- end -}}
{{- if .stunport -}}{{- $members = append $members (list "STUNPort" (toString (int .stunport))) -}}{{- end -}}
{{- if and .derpport (ne (int .derpport) 443) -}}{{- $members = append $members (list "DERPPort" (toString (int .derpport))) -}}{{- end -}}
{{- if .canport80 -}}{{- $members = append $members (list "CanPort80" "true") -}}{{- end -}}
{{- dict "members" $members | toRawJson -}}
{{- end -}}
{{- end -}}

{{/* {"hasScores", "regions": [{id, score, members, nodes}]}: what is in every form of the map, each value as JSON. */}}
{{- define "derpfleet.map.content" -}}
{{- $regions := list -}}
{{- $hasScores := false -}}
{{- range (include "derpfleet.regions" . | fromJson).regions -}}
{{- if ne .state "off" -}}
{{- $id := toString (int .id) -}}
{{- if hasKey .region "preferWithinMs" -}}{{- $hasScores = true -}}{{- end -}}
{{- $members := list (list "RegionID" $id) (list "RegionCode" (toRawJson .code)) (list "RegionName" (toRawJson .name)) -}}
{{- if hasKey .region "latitude" -}}{{- $members = append $members (list "Latitude" (include "derpfleet.map.degrees" .region.latitude)) -}}{{- end -}}
{{- if hasKey .region "longitude" -}}{{- $members = append $members (list "Longitude" (include "derpfleet.map.degrees" .region.longitude)) -}}{{- end -}}
{{- if eq .state "draining" -}}{{- $members = append $members (list "NoMeasureNoHome" "true") -}}{{- end -}}
{{- $first := list -}}
{{- $standby := list -}}
{{- range .region.nodes -}}
{{- $node := (include "derpfleet.map.node" (list . $id) | fromJson).members -}}
{{- if .standby -}}{{- $standby = append $standby $node -}}{{- else -}}{{- $first = append $first $node -}}{{- end -}}
{{- end -}}
{{- $regions = append $regions (dict "id" $id "score" (include "derpfleet.map.score" .region) "members" $members "nodes" (concat $first $standby)) -}}
{{- end -}}
{{- end -}}
{{- dict "hasScores" $hasScores "regions" $regions | toRawJson -}}
{{- end -}}

{{/* An object in canonical JSON (RFC 8785) of its members [[name, JSON]]. */}}
{{- define "derpfleet.map.object" -}}
{{- $byName := dict -}}
{{- range . -}}{{- $_ := set $byName (index . 0) (index . 1) -}}{{- end -}}
{{- $texts := list -}}
{{- range $name := keys $byName | sortAlpha -}}
{{- $texts = append $texts (printf "%s:%s" (toRawJson $name) (get $byName $name)) -}}
{{- end -}}
{{- printf "{%s}" (join "," $texts) -}}
{{- end -}}

{{- define "derpfleet.map.scores" -}}
{{- $scores := list -}}
{{- range .regions -}}{{- $scores = append $scores (list .id .score) -}}{{- end -}}
{{- printf "{\"RegionScore\":%s}" (include "derpfleet.map.object" $scores) -}}
{{- end -}}

{{- define "derpfleet.map.regions" -}}
{{- $regions := list -}}
{{- range .regions -}}
{{- $nodes := list -}}
{{- range .nodes -}}{{- $nodes = append $nodes (include "derpfleet.map.object" .) -}}{{- end -}}
{{- $all := append .members (list "Nodes" (printf "[%s]" (join "," $nodes))) -}}
{{- $regions = append $regions (list .id (include "derpfleet.map.object" $all)) -}}
{{- end -}}
{{- include "derpfleet.map.object" $regions -}}
{{- end -}}

{{/* -format json: without a line end. */}}
{{- define "derpfleet.map.json" -}}
{{- $content := include "derpfleet.map.content" . | fromJson -}}
{{- printf "{\"HomeParams\":%s,\"Regions\":%s}" (include "derpfleet.map.scores" $content) (include "derpfleet.map.regions" $content) -}}
{{- end -}}

{{/* -format policy: the member of the policy file's object. The line end is the caller's. */}}
{{- define "derpfleet.map.policy" -}}
{{- $content := include "derpfleet.map.content" . | fromJson -}}
{{- if $content.hasScores -}}
{{- printf "\"derpMap\": {\"HomeParams\":%s,\"Regions\":%s}" (include "derpfleet.map.scores" $content) (include "derpfleet.map.regions" $content) -}}
{{- else -}}
{{- printf "\"derpMap\": {\"Regions\":%s}" (include "derpfleet.map.regions" $content) -}}
{{- end -}}
{{- end -}}

{{/* -format headscale: names in lower case, strings as in JSON. The last line end is the caller's. */}}
{{- define "derpfleet.map.headscale" -}}
{{- $content := include "derpfleet.map.content" . | fromJson -}}
{{- $lines := list -}}
{{- if $content.hasScores -}}
{{- $lines = concat $lines (list "homeparams:" "  regionscore:") -}}
{{- range $content.regions -}}{{- $lines = append $lines (printf "    %s: %s" .id .score) -}}{{- end -}}
{{- end -}}
{{- $lines = append $lines "regions:" -}}
{{- range $content.regions -}}
{{- $lines = append $lines (printf "  %s:" .id) -}}
{{- range .members -}}{{- $lines = append $lines (printf "    %s: %s" (index . 0 | lower) (index . 1)) -}}{{- end -}}
{{- $lines = append $lines "    nodes:" -}}
{{- range .nodes -}}
{{- range $at, $member := . -}}
{{- $lines = append $lines (printf "      %s %s: %s" (ternary "-" " " (eq $at 0)) (index $member 0 | lower) (index $member 1)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}
