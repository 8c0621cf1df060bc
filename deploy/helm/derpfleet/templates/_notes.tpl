{{/* What an installation prints at its end. */}}

{{- define "derpfleet.notes" -}}
{{- $region := index (include "derpfleet.regions" . | fromJson).regions 0 -}}
{{- range (include "derpfleet.regions" . | fromJson).regions -}}{{- if eq (int .id) (int $.Values.region) -}}{{- $region = . -}}{{- end -}}{{- end -}}
{{- $relays := (include "derpfleet.relays" . | fromJson).relays -}}
Region {{ int .Values.region }} ({{ $region.code }}) runs {{ len $relays }} relay{{ if gt (len $relays) 1 }}s{{ end }}, exposed by {{ .Values.exposure.mode }}:
{{ range $relays }}
  {{ .name }}  {{ .hostname }}  {{ ternary (printf "pod %s" .pod) (printf "machine %s" (default "" .kubernetes.kubernetesNode)) (eq (include "derpfleet.isStateful" $) "true") }}
{{- end }}

{{ if eq .Values.exposure.mode "perPodLoadBalancer" -}}
Each relay has a load balancer of its own. Its address must be the one that DNS and regions.yaml have for the relay:

  kubectl --namespace {{ .Release.Namespace }} get services --selector app.kubernetes.io/instance={{ .Release.Name }},derpfleet/node
{{- if not .Values.exposure.loadBalancer.splitProtocols }}

TCP and UDP are in one Service. Where the cloud cannot do this, set exposure.loadBalancer.splitProtocols.
{{- end }}
{{- else if eq .Values.exposure.mode "hostNetwork" -}}
The relays listen on the machines' own ports. Ports below 1024 need net.ipv4.ip_unprivileged_port_start=0 on the machines, since
the relay is not root. A NetworkPolicy has no effect, and `kubectl drain` passes over the relays.
{{- else if eq .Values.exposure.mode "hostPort" -}}
Ports of the machines lead to the relays. Check that your network plug-in keeps the address of UDP senders:
`derpfleet probe` from outside prints what STUN sees.
{{- else -}}
WARNING: the relays are reached inside the cluster only. What STUN tells clients is wrong for everyone else.
{{- end }}

Try it as a client does:

  helm --namespace {{ .Release.Namespace }} test {{ .Release.Name }}

Ask or drain one relay:

  kubectl --namespace {{ .Release.Namespace }} exec {{ if eq (include "derpfleet.isStateful" .) "true" }}{{ (index $relays 0).pod }}{{ else }}daemonset/{{ include "derpfleet.fullname" . }}{{ end }} -- derpfleet status

# Headscale: save as derp.yaml and list it in config.yaml under derp.paths

{{ include "derpfleet.map.headscale" . }}

# Tailscale: add to the policy file

{{ include "derpfleet.map.policy" . }}

# Complete DERP map

{{ include "derpfleet.map.json" . }}
{{- end -}}
