{{/* What is in the regions file: regions in order, and the relays that this release runs. */}}

{{/* A name as text: 901 without quotes is a number to YAML but meant as a name. */}}
{{- define "derpfleet.text" -}}
{{- if kindIs "string" . -}}{{- . -}}{{- else -}}{{- toRawJson . -}}{{- end -}}
{{- end -}}

{{/* A region's number without leading zeros. */}}
{{- define "derpfleet.regionId" -}}
{{- regexReplaceAll "^0+" (toString .) "" -}}
{{- end -}}

{{/* The state of a region. Helm reads `off` without quotes as false, as YAML 1.1 has it. */}}
{{- define "derpfleet.state" -}}
{{- if not (hasKey . "state") -}}active{{- else if kindIs "bool" .state -}}off{{- else -}}{{- .state -}}{{- end -}}
{{- end -}}

{{/* {"regions": [{id, code, name, state, region}]} by ascending number. */}}
{{- define "derpfleet.regions" -}}
{{- $byNumber := dict -}}
{{- range $key, $region := .Values.regions -}}
{{- $id := include "derpfleet.regionId" $key -}}
{{- $order := printf "%05d" (int $id) -}}
{{- if hasKey $byNumber $order -}}
{{- fail (printf "regions.%s: is region %s, like another one; expected each region once" $key $id) -}}
{{- end -}}
{{- $code := include "derpfleet.text" $region.code -}}
{{- $one := dict "id" (int $id) "code" $code "name" (default $code $region.name) "state" (include "derpfleet.state" $region) "region" $region -}}
{{- $_ := set $byNumber $order $one -}}
{{- end -}}
{{- $regions := list -}}
{{- range $order := keys $byNumber | sortAlpha -}}
{{- $regions = append $regions (get $byNumber $order) -}}
{{- end -}}
{{- dict "regions" $regions | toJson -}}
{{- end -}}

{{/* The same for all nodes of one relay: siblingName of src/fleet/sibling.ts. */}}
{{- define "derpfleet.relayKey" -}}
{{- printf "%s:%d/%s" .hostname (int (default 443 .derpport)) (default "" .mesh) | lower -}}
{{- end -}}

{{/*
{"relays": [...]}: the relays of this release. A relay belongs to the first region that has it without `standby`; so a
standby is no relay here, and neither is a relay of an earlier region.
*/}}
{{- define "derpfleet.relays" -}}
{{- $root := . -}}
{{- $relays := list -}}
{{- $seen := dict -}}
{{- range (include "derpfleet.regions" . | fromJson).regions -}}
{{- $id := int .id -}}
{{- range .region.nodes -}}
{{- $key := include "derpfleet.relayKey" . -}}
{{- if not (or .standby (hasKey $seen $key)) -}}
{{- $_ := set $seen $key true -}}
{{- if eq $id (int $root.Values.region) -}}
{{- $name := include "derpfleet.text" .name -}}
{{- $relay := dict "name" $name "hostname" .hostname "ipv4" (default "" .ipv4) "ipv6" (default "" .ipv6) "region" $id -}}
{{- $_ := set $relay "derpPort" (int (default 443 .derpport)) -}}
{{- $_ := set $relay "stunPort" (int (default 3478 .stunport)) -}}
{{- $_ := set $relay "pin" (default "" .pin) -}}
{{- $_ := set $relay "certname" (default "" .certname) -}}
{{- $_ := set $relay "kubernetes" (default dict (get $root.Values.nodes $name)) -}}
{{- $_ := set $relay "index" (len $relays) -}}
{{- $_ := set $relay "pod" (printf "%s-%d" (include "derpfleet.fullname" $root) (len $relays)) -}}
{{- $relays = append $relays $relay -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "relays" $relays | toJson -}}
{{- end -}}

{{/* The regions file that the relays read: the same content, in a form that every YAML reader takes for the same. */}}
{{- define "derpfleet.regionsFile" -}}
{{- $regions := dict -}}
{{- range $key, $region := .Values.regions -}}
{{- $one := deepCopy $region -}}
{{- if hasKey $region "state" -}}{{- $_ := set $one "state" (include "derpfleet.state" $region) -}}{{- end -}}
{{- $_ := set $one "code" (include "derpfleet.text" $region.code) -}}
{{- $nodes := list -}}
{{- range $region.nodes -}}
{{- $nodes = append $nodes (merge (dict "name" (include "derpfleet.text" .name)) .) -}}
{{- end -}}
{{- $_ := set $one "nodes" $nodes -}}
{{- $_ := set $regions $key $one -}}
{{- end -}}
{{- dict "regions" $regions | toRawJson -}}
{{- end -}}

{{/* Finds texts that Unicode's composition (NFC) would change, which relays do and Helm cannot: test/chart/composed-text.ts. */}}
{{- define "derpfleet.uncomposed" -}}
[\x{374}\x{37e}\x{387}\x{958}-\x{95f}\x{9dc}-\x{9dd}\x{9df}\x{a33}\x{a36}\x{a59}-\x{a5b}\x{a5e}\x{b5c}-\x{b5d}\x{f43}\x{f4d}\x{f52}\x{f57}\x{f5c}\x{f69}\x{f73}\x{f75}-\x{f76}\x{f78}\x{f81}\x{f93}\x{f9d}\x{fa2}\x{fa7}\x{fac}\x{fb9}\x{1f71}\x{1f73}\x{1f75}\x{1f77}\x{1f79}\x{1f7b}\x{1f7d}\x{1fbb}\x{1fbe}\x{1fc9}\x{1fcb}\x{1fd3}\x{1fdb}\x{1fe3}\x{1feb}\x{1fee}-\x{1fef}\x{1ff9}\x{1ffb}\x{1ffd}\x{2000}-\x{2001}\x{2126}\x{212a}-\x{212b}\x{2329}-\x{232a}\x{2adc}\x{f900}-\x{fa0d}\x{fa10}\x{fa12}\x{fa15}-\x{fa1e}\x{fa20}\x{fa22}\x{fa25}-\x{fa26}\x{fa2a}-\x{fa6d}\x{fa70}-\x{fad9}\x{fb1d}\x{fb1f}\x{fb2a}-\x{fb36}\x{fb38}-\x{fb3c}\x{fb3e}\x{fb40}-\x{fb41}\x{fb43}-\x{fb44}\x{fb46}-\x{fb4e}\x{1d15e}-\x{1d164}\x{1d1bb}-\x{1d1c0}\x{2f800}-\x{2fa1d}\x{300}-\x{36f}\x{1100}-\x{11ff}\x{3099}\x{309a}]|\x{627}\x{653}|\x{627}\x{654}|\x{648}\x{654}|\x{627}\x{655}|\x{64a}\x{654}|\x{6d5}\x{654}|\x{6c1}\x{654}|\x{6d2}\x{654}|\x{928}\x{93c}|\x{930}\x{93c}|\x{933}\x{93c}|\x{9c7}\x{9be}|\x{9c7}\x{9d7}|\x{b47}\x{b56}|\x{b47}\x{b3e}|\x{b47}\x{b57}|\x{b92}\x{bd7}|\x{bc6}\x{bbe}|\x{bc7}\x{bbe}|\x{bc6}\x{bd7}|\x{c46}\x{c56}|\x{cbf}\x{cd5}|\x{cc6}\x{cd5}|\x{cc6}\x{cd6}|\x{cc6}\x{cc2}|\x{cca}\x{cd5}|\x{d46}\x{d3e}|\x{d47}\x{d3e}|\x{d46}\x{d57}|\x{dd9}\x{dca}|\x{dd9}\x{dcf}|\x{ddc}\x{dca}|\x{dd9}\x{ddf}|\x{1025}\x{102e}|\x{1b05}\x{1b35}|\x{1b07}\x{1b35}|\x{1b09}\x{1b35}|\x{1b0b}\x{1b35}|\x{1b0d}\x{1b35}|\x{1b11}\x{1b35}|\x{1b3a}\x{1b35}|\x{1b3c}\x{1b35}|\x{1b3e}\x{1b35}|\x{1b3f}\x{1b35}|\x{1b42}\x{1b35}|\x{11099}\x{110ba}|\x{1109b}\x{110ba}|\x{110a5}\x{110ba}|\x{11131}\x{11127}|\x{11132}\x{11127}|\x{11347}\x{1133e}|\x{11347}\x{11357}|\x{11382}\x{113c9}|\x{11384}\x{113bb}|\x{1138b}\x{113c2}|\x{11390}\x{113c9}|\x{113c2}\x{113c2}|\x{113c2}\x{113b8}|\x{113c2}\x{113c9}|\x{114b9}\x{114ba}|\x{114b9}\x{114b0}|\x{114b9}\x{114bd}|\x{115b8}\x{115af}|\x{115b9}\x{115af}|\x{11935}\x{11930}|\x{1611e}\x{1611e}|\x{1611e}\x{16129}|\x{1611e}\x{1611f}|\x{16129}\x{1611f}|\x{1611e}\x{16120}|\x{16121}\x{1611f}|\x{16122}\x{1611f}|\x{16121}\x{16120}|\x{16d67}\x{16d67}|\x{16d63}\x{16d67}|\x{16d69}\x{16d67}
{{- end -}}
