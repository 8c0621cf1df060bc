{{/* DERP maps for `helm test`. */}}

{{- define "derpfleet.testMap.public" -}}
{{- include "derpfleet.map.json" . -}}
{{- end -}}

{{/* The pods by their names in the cluster. Their certificates are for the host names that clients know. */}}
{{- define "derpfleet.testMap.pods" -}}
{{- $root := . -}}
{{- $id := int .Values.region -}}
{{- $nodes := list -}}
{{- range (include "derpfleet.relays" . | fromJson).relays -}}
{{- $host := printf "%s.%s-pods.%s.svc" .pod (include "derpfleet.fullname" $root) $root.Release.Namespace -}}
{{- $certName := default .hostname (include "derpfleet.map.certName" (dict "pin" .pin "certname" .certname)) -}}
{{- $node := dict "Name" .name "RegionID" $id "HostName" $host "CertName" $certName "DERPPort" 8443 -}}
{{- if lt (int .stunPort) 0 -}}{{- $_ := set $node "STUNPort" -1 -}}{{- end -}}
{{- $nodes = append $nodes $node -}}
{{- end -}}
{{- $region := dict "RegionID" $id "RegionCode" "test" "RegionName" "test" "Nodes" $nodes -}}
{{- dict "Regions" (dict (toString $id) $region) | toRawJson -}}
{{- end -}}
