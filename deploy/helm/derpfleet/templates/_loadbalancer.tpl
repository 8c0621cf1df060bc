{{/* The load balancer of one relay: (list . relay protocol), where protocol is tcp, udp, or empty for both. */}}

{{- define "derpfleet.loadBalancer" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- $protocol := index . 2 -}}
{{- $values := $root.Values.exposure.loadBalancer -}}
{{- include "derpfleet.object" (list $root "v1" "Service" (compact (list $relay.pod $protocol) | join "-")) }}
    derpfleet/node: {{ quote $relay.name }}
  {{- with include "derpfleet.loadBalancerAnnotations" (list $root $relay) | fromYaml }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: LoadBalancer
  # STUN tells clients the address that they come from.
  externalTrafficPolicy: Local
  # While a relay drains, its closed port must refuse clients at once, so that they try the next relay.
  publishNotReadyAddresses: true
  {{- with $values.class }}
  loadBalancerClass: {{ quote . }}
  {{- end }}
  {{- with include "derpfleet.loadBalancerIP" (list $root $relay) }}
  loadBalancerIP: {{ quote . }}
  {{- end }}
  ipFamilyPolicy: {{ $values.ipFamilyPolicy }}
  allocateLoadBalancerNodePorts: {{ $values.allocateNodePorts }}
  selector:
    {{- include "derpfleet.selectorLabels" $root | nindent 4 }}
    statefulset.kubernetes.io/pod-name: {{ quote $relay.pod }}
  ports:
    {{- if ne $protocol "udp" }}
    - {name: derp, port: {{ int $relay.derpPort }}, targetPort: derp, protocol: TCP}
    {{- if ne (int $relay.derpPort) 80 }}
    - {name: http, port: 80, targetPort: http, protocol: TCP}
    {{- end }}
    {{- end }}
    {{- if and (ne $protocol "tcp") (gt (int $relay.stunPort) 0) }}
    - {name: stun, port: {{ int $relay.stunPort }}, targetPort: stun, protocol: UDP}
    {{- end }}
{{- end -}}

{{- define "derpfleet.loadBalancerIP" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- if $relay.kubernetes.loadBalancerIP -}}
{{- $relay.kubernetes.loadBalancerIP -}}
{{- else if and $root.Values.exposure.loadBalancer.useMapAddress (ne $relay.ipv4 "none") -}}
{{- $relay.ipv4 -}}
{{- end -}}
{{- end -}}

{{/* Those of all relays, and in them those of this relay. */}}
{{- define "derpfleet.loadBalancerAnnotations" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- $annotations := dict -}}
{{- range $name, $text := merge (deepCopy (default dict $relay.kubernetes.annotations)) $root.Values.exposure.loadBalancer.annotations -}}
{{- $filled := $text | replace "{ipv4}" $relay.ipv4 | replace "{ipv6}" $relay.ipv6 | replace "{hostname}" $relay.hostname -}}
{{- $_ := set $annotations $name ($filled | replace "{node}" $relay.name | replace "{region}" (toString (int $relay.region))) -}}
{{- end -}}
{{- if $annotations -}}{{- toYaml $annotations -}}{{- end -}}
{{- end -}}
