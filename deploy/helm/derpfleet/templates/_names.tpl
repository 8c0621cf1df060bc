{{/* Names and labels. */}}

{{- define "derpfleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: relay
{{- end -}}

{{- define "derpfleet.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end -}}

{{/* The start of every object of the release: (list . "v1" "Service" "name"). */}}
{{- define "derpfleet.object" -}}
{{- $root := index . 0 -}}
apiVersion: {{ index . 1 }}
kind: {{ index . 2 }}
metadata:
  name: {{ index . 3 | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "derpfleet.labels" $root | nindent 4 }}
{{- end -}}

{{- define "derpfleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "derpfleet.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.meshSecret" -}}
{{- default (printf "%s-mesh" (include "derpfleet.fullname" .)) .Values.mesh.existingSecret -}}
{{- end -}}

{{/* The name of the Secret with a relay's certificate: (list . relay). */}}
{{- define "derpfleet.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- $relay := index . 1 -}}
{{- if eq $root.Values.tls.mode "certManager" -}}
{{- printf "%s-%s-tls" (include "derpfleet.fullname" $root) ($relay.name | lower | replace "_" "-" | trimAll "-.") -}}
{{- else -}}
{{- default $root.Values.tls.existingSecret $relay.kubernetes.tlsSecret -}}
{{- end -}}
{{- end -}}

{{/* "true" where relays run as a StatefulSet, with one pod for each relay in the order of the regions file. */}}
{{- define "derpfleet.isStateful" -}}
{{- if has .Values.exposure.mode (list "perPodLoadBalancer" "clusterIP") -}}true{{- end -}}
{{- end -}}
