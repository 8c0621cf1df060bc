{{/* The pod of a relay, the same for all of a release: what differs is in the settings file that carries its name. */}}

{{- define "derpfleet.pod" -}}
metadata:
  labels:
    {{- include "derpfleet.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # A relay takes up the other settings by itself.
    derpfleet/settings-that-need-a-restart: {{ include "derpfleet.settingsChecksum" . | quote }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "derpfleet.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  # A relay warns of variables that begin with its name and are no options.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "derpfleet.gracePeriod" . }}
  {{- if eq .Values.exposure.mode "hostNetwork" }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ quote . }}
  {{- end }}
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- include "derpfleet.placement" . | nindent 2 }}
  containers:
    - name: relay
      image: {{ include "derpfleet.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env: {{- include "derpfleet.env" . | nindent 8 }}
      {{- with include "derpfleet.ports" . }}
      ports: {{- . | nindent 8 }}
      {{- end }}
      {{- include "derpfleet.probes" . | nindent 6 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts: {{- include "derpfleet.volumeMounts" . | nindent 8 }}
  volumes: {{- include "derpfleet.volumes" . | nindent 4 }}
{{- end -}}

{{- define "derpfleet.env" -}}
- name: {{ ternary "POD_NAME" "MACHINE_NAME" (eq (include "derpfleet.isStateful" .) "true") }}
  valueFrom:
    fieldRef:
      fieldPath: {{ ternary "metadata.name" "spec.nodeName" (eq (include "derpfleet.isStateful" .) "true") }}
- name: DERPFLEET_CONFIG
  value: /etc/derpfleet/settings/$({{ ternary "POD_NAME" "MACHINE_NAME" (eq (include "derpfleet.isStateful" .) "true") }}).yaml
{{- if and (eq .Values.exposure.mode "hostNetwork") (eq .Values.exposure.hostNetwork.admin "hostIP") }}
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: DERPFLEET_ADMIN
  value: $(HOST_IP):9090
{{- end }}
{{- with .Values.admission.verifyClientUrlSecret }}
{{- if .name }}
- name: DERPFLEET_VERIFY_CLIENT_URL
  valueFrom:
    secretKeyRef: {{- toYaml . | nindent 6 }}
{{- end }}
{{- end }}
{{- with .Values.tls.acme.eabSecret }}
- name: DERPFLEET_ACME_EAB_KID
  valueFrom:
    secretKeyRef: {name: {{ quote . }}, key: kid}
- name: DERPFLEET_ACME_EAB_KEY
  valueFrom:
    secretKeyRef: {name: {{ quote . }}, key: key}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Above 1024, which need no right. The load balancer, or the machine, has the ports that clients know. */}}
{{- define "derpfleet.ports" -}}
{{- $relay := index (include "derpfleet.relays" . | fromJson).relays 0 -}}
{{- $isHostPort := eq .Values.exposure.mode "hostPort" -}}
{{- if ne .Values.exposure.mode "hostNetwork" -}}
- name: derp
  containerPort: 8443
  protocol: TCP
  {{- if $isHostPort }}
  hostPort: {{ int $relay.derpPort }}
  {{- end }}
- name: http
  containerPort: 8080
  protocol: TCP
  {{- if and $isHostPort (ne (int $relay.derpPort) 80) }}
  hostPort: 80
  {{- end }}
- name: stun
  containerPort: 3478
  protocol: UDP
  {{- if and $isHostPort (gt (int $relay.stunPort) 0) }}
  hostPort: {{ int $relay.stunPort }}
  {{- end }}
{{ end -}}
{{- if not (include "derpfleet.isAdminHidden" .) -}}
- name: admin
  containerPort: 9090
  protocol: TCP
{{- end -}}
{{- end -}}

{{/* "true" where only the machine itself reaches the admin port. */}}
{{- define "derpfleet.isAdminHidden" -}}
{{- if and (eq .Values.exposure.mode "hostNetwork") (eq .Values.exposure.hostNetwork.admin "loopback") -}}true{{- end -}}
{{- end -}}

{{/* Readiness serves updates, disruption budgets and alerts. It is not for routing: see publishNotReadyAddresses. */}}
{{- define "derpfleet.probes" -}}
{{- $isLoopback := include "derpfleet.isAdminHidden" . -}}
startupProbe:
  httpGet:
    path: /livez
    port: 9090
    {{- if $isLoopback }}
    host: 127.0.0.1
    {{- end }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /livez
    port: 9090
    {{- if $isLoopback }}
    host: 127.0.0.1
    {{- end }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: 9090
    {{- if $isLoopback }}
    host: 127.0.0.1
    {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 1
{{- end -}}

{{- define "derpfleet.placement" -}}
{{- with .Values.nodeSelector -}}
nodeSelector: {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with .Values.tolerations -}}
tolerations: {{- toYaml . | nindent 2 }}
{{ end -}}
{{- if eq (include "derpfleet.isStateful" .) "true" -}}
{{- with .Values.affinity -}}
affinity: {{- toYaml . | nindent 2 }}
{{ end -}}
topologySpreadConstraints:
{{- if .Values.topologySpreadConstraints }}
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "derpfleet.selectorLabels" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- else -}}
# A relay runs on the machine that has its address.
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        {{- range (include "derpfleet.relays" . | fromJson).relays }}
        - matchFields:
            - key: metadata.name
              operator: In
              values: [{{ quote .kubernetes.kubernetesNode }}]
        {{- end }}
{{- end -}}
{{- end -}}

{{- define "derpfleet.volumeMounts" -}}
- {name: settings, mountPath: /etc/derpfleet/settings, readOnly: true}
- {name: mesh, mountPath: /etc/derpfleet/mesh, readOnly: true}
- {name: data, mountPath: /data}
{{- if ne .Values.tls.mode "acme" }}
- {name: certs, mountPath: /etc/derpfleet/certs, readOnly: true}
{{- end }}
{{- if .Values.nodeKeys.existingSecret }}
- {name: keys, mountPath: /etc/derpfleet/keys, readOnly: true}
{{- end }}
{{- if .Values.mesh.caSecret.name }}
- {name: mesh-ca, mountPath: /etc/derpfleet/mesh-ca, readOnly: true}
{{- end }}
{{- if .Values.admission.keysConfigMap.name }}
- {name: allowed, mountPath: /etc/derpfleet/allowed, readOnly: true}
{{- end }}
{{- if .Values.admission.leaseConfigMap.name }}
- {name: lease, mountPath: /etc/derpfleet/lease, readOnly: true}
{{- end }}
{{- if .Values.map.keySecret.name }}
- {name: map-key, mountPath: /etc/derpfleet/map-key, readOnly: true}
{{- end }}
{{- if .Values.nats.urls }}
- {name: nats, mountPath: /etc/derpfleet/nats, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whole folders, since files that are mounted alone (subPath) never change. */}}
{{- define "derpfleet.volumes" -}}
- name: settings
  configMap:
    name: {{ printf "%s-settings" (include "derpfleet.fullname" .) | quote }}
- name: mesh
  secret:
    secretName: {{ include "derpfleet.meshSecret" . | quote }}
    defaultMode: 0440
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {sizeLimit: 64Mi}
{{- else if .Values.persistence.hostPath }}
- name: data
  hostPath: {path: {{ quote .Values.persistence.hostPath }}, type: Directory}
{{- else if ne (include "derpfleet.isStateful" .) "true" }}
- name: data
  emptyDir: {sizeLimit: 64Mi}
{{- end }}
{{- if ne .Values.tls.mode "acme" }}
- name: certs
  projected:
    defaultMode: 0440
    sources:
      {{- range (include "derpfleet.relays" . | fromJson).relays }}
      - secret:
          name: {{ include "derpfleet.tlsSecret" (list $ .) | quote }}
          items:
            - {key: tls.crt, path: {{ printf "%s.crt" .hostname | quote }}}
            - {key: tls.key, path: {{ printf "%s.key" .hostname | quote }}}
      {{- end }}
{{- end }}
{{- range $name, $secret := dict "keys" .Values.nodeKeys.existingSecret "mesh-ca" .Values.mesh.caSecret.name "map-key" .Values.map.keySecret.name }}
{{- if $secret }}
- name: {{ $name }}
  secret:
    secretName: {{ quote $secret }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .Values.admission.keysConfigMap.name }}
- name: allowed
  configMap:
    name: {{ quote . }}
{{- end }}
{{- with .Values.admission.leaseConfigMap.name }}
- name: lease
  configMap:
    name: {{ quote . }}
{{- end }}
{{- with .Values.nats }}
{{- if .urls }}
- name: nats
  projected:
    defaultMode: 0440
    sources:
      {{- range list .secretSecret .credentialsSecret .caSecret }}
      {{- if .name }}
      - secret:
          name: {{ quote .name }}
          items: [{key: {{ quote .key }}, path: {{ quote .key }}}]
      {{- end }}
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
