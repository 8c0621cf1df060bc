{{/* derpfleet.yaml of each relay: what the chart sets, and .Values.settings for the rest. */}}

{{/* Seconds of a time such as 30s or 2m. */}}
{{- define "derpfleet.seconds" -}}
{{- if hasSuffix "m" . -}}{{- mul 60 (trimSuffix "m" . | int) -}}{{- else -}}{{- trimSuffix "s" . | int -}}{{- end -}}
{{- end -}}

{{- define "derpfleet.gracePeriod" -}}
{{- with .Values.drain -}}
{{- add (include "derpfleet.seconds" .settle | int) (include "derpfleet.seconds" .spread | int) (include "derpfleet.seconds" .scrapeWait | int) 15 -}}
{{- end -}}
{{- end -}}

{{/* The key of a relay's settings: its pod's name, or the name of its machine. */}}
{{- define "derpfleet.settingsKey" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- printf "%s.yaml" (ternary $relay.pod $relay.kubernetes.kubernetesNode (eq (include "derpfleet.isStateful" $root) "true")) -}}
{{- end -}}

{{/* Where a relay listens: as the world sees it on the machine's own network, else on ports that need no right. */}}
{{- define "derpfleet.listeners" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- if eq $root.Values.exposure.mode "hostNetwork" -}}
listen: {{ printf ":%d" (int $relay.derpPort) | quote }}
http-port: {{ int $root.Values.exposure.hostNetwork.httpPort }}
{{- if gt (int $relay.stunPort) 0 }}
stun-port: {{ int $relay.stunPort }}
{{- end }}
{{- if eq $root.Values.exposure.hostNetwork.admin "loopback" }}
admin: 127.0.0.1:9090
{{- end }}
{{- else -}}
listen: ":8443"
http-port: 8080
{{- if gt (int $relay.stunPort) 0 }}
stun-port: 3478
{{- end }}
admin: ":9090"
{{- end }}
{{- if lt (int $relay.stunPort) 0 }}
stun: false
{{- end }}
tls: "on"
{{- end -}}

{{- define "derpfleet.certificateSettings" -}}
{{- if eq .Values.tls.mode "acme" -}}
certmode: {{ .Values.tls.acme.authority }}
certdir: /data/certs
{{- else -}}
certmode: manual
certdir: /etc/derpfleet/certs
{{- end -}}
{{- end -}}

{{- define "derpfleet.admissionSettings" -}}
{{- with .Values.admission -}}
{{- if .open -}}
open-relay: true
{{- else -}}
{{- if .keysConfigMap.name }}
allow-keys-file: /etc/derpfleet/allowed/{{ .keysConfigMap.key }}
{{- end }}
{{- if .leaseConfigMap.name }}
lease-file: /etc/derpfleet/lease/{{ .leaseConfigMap.key }}
lease-key: {{ toJson .leaseKeys }}
{{- end }}
{{- if .verifyClientUrl }}
verify-client-url: {{ toJson .verifyClientUrl }}
{{- end }}
{{- if or .verifyClientUrl .verifyClientUrlSecret.name }}
verify-client-url-fail-open: {{ .failOpen }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.natsSettings" -}}
{{- with .Values.nats -}}
{{- if .urls -}}
nats-url: {{ toJson .urls }}
nats-secret-file: /etc/derpfleet/nats/{{ .secretSecret.key }}
{{- if .credentialsSecret.name }}
nats-credentials-file: /etc/derpfleet/nats/{{ .credentialsSecret.key }}
{{- end }}
{{- if .caSecret.name }}
nats-ca-file: /etc/derpfleet/nats/{{ .caSecret.key }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings file of a relay, as YAML: (list . relay). */}}
{{- define "derpfleet.settings" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- $own := dict "hostname" $relay.hostname "node" $relay.name "regions-file" "/etc/derpfleet/settings/regions.yaml" -}}
{{- $_ := set $own "state-dir" "/data/relay" -}}
{{- $_ := set $own "key-file" (ternary (printf "/etc/derpfleet/keys/%s.key" $relay.name) "/data/derper.key" (ne $root.Values.nodeKeys.existingSecret "")) -}}
{{- $_ := set $own "mesh-psk-file" (printf "/etc/derpfleet/mesh/%s" $root.Values.mesh.secretKey) -}}
{{- if $root.Values.mesh.caSecret.name -}}
{{- $_ := set $own "mesh-ca-file" (printf "/etc/derpfleet/mesh-ca/%s" $root.Values.mesh.caSecret.key) -}}
{{- end -}}
{{- if $root.Values.map.keySecret.name -}}
{{- $_ := set $own "map-key-file" (printf "/etc/derpfleet/map-key/%s" $root.Values.map.keySecret.key) -}}
{{- end -}}
{{- with $root.Values.drain -}}
{{- $_ := set $own "drain-settle" .settle -}}
{{- $_ := set $own "drain-spread" .spread -}}
{{- $_ := set $own "drain-scrape-wait" .scrapeWait -}}
{{- end -}}
{{- $own = merge $own (include "derpfleet.listeners" . | fromYaml) (include "derpfleet.certificateSettings" $root | fromYaml) -}}
{{- $own = merge $own (include "derpfleet.admissionSettings" $root | fromYaml) (include "derpfleet.natsSettings" $root | fromYaml) -}}
{{- merge $own (deepCopy $root.Values.settings) | toYaml -}}
{{- end -}}

{{/* What a running relay takes up by itself (marked Reloadable in docs/configuration.md). A change of the rest restarts it. */}}
{{- define "derpfleet.reloadable" -}}
accept-connection-burst accept-connection-limit address-ban address-connections address-exempt address-logins admission-grace admission-recheck
admission-trusts-siblings allow-keys-file announce-budget bootstrap-dns-names connection-budget disallow-app-names drain-scrape-wait drain-settle
drain-spread home isolate-tenants keepalive key-budget kicks-from lease-file lease-key log-level map-removal map-return memory-bytes month-bytes month-over
open-relay outbox-bytes outbox-packets rate-config rebalance relay-budget serve-map show-addresses show-keys socket tcp-user-timeout tcp-write-timeout
verbs-token-file verify-client-url verify-client-url-fail-open verify-clients waiting-bytes
{{- end -}}

{{/* Of the settings of all relays that need a restart. */}}
{{- define "derpfleet.settingsChecksum" -}}
{{- $reloadable := regexSplit "\\s+" (include "derpfleet.reloadable" .) -1 -}}
{{- $all := list -}}
{{- range (include "derpfleet.relays" . | fromJson).relays -}}
{{- $fixed := dict -}}
{{- range $name, $value := include "derpfleet.settings" (list $ .) | fromYaml -}}
{{- if not (has $name $reloadable) -}}{{- $_ := set $fixed $name $value -}}{{- end -}}
{{- end -}}
{{- $all = append $all $fixed -}}
{{- end -}}
{{- toJson $all | sha256sum -}}
{{- end -}}
