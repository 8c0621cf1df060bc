{{/* What values.schema.json cannot say. Each message names the value, what was found and what is expected. */}}

{{- define "derpfleet.checks" -}}
{{- include "derpfleet.checkName" . -}}
{{- include "derpfleet.checkRegions" . -}}
{{- include "derpfleet.checkNodes" . -}}
{{- include "derpfleet.checkExposure" . -}}
{{- include "derpfleet.checkAdmission" . -}}
{{- include "derpfleet.checkSecrets" . -}}
{{- include "derpfleet.checkMonitors" . -}}
{{- end -}}

{{/* Services are named by it. */}}
{{- define "derpfleet.checkName" -}}
{{- $name := include "derpfleet.fullname" . -}}
{{- if not (regexMatch "^[a-z]([0-9a-z-]*[0-9a-z])?$" $name) -}}
{{- fail (printf "fullnameOverride: the name %q, made from that of the release, is none for a Service; expected letters, digits and hyphens, and a letter first" $name) -}}
{{- end -}}
{{- end -}}

{{/* As src/fleet/regions-check.ts. */}}
{{- define "derpfleet.checkRegions" -}}
{{- $regions := (include "derpfleet.regions" . | fromJson).regions -}}
{{- $isOn := false -}}
{{- $ids := list -}}
{{- $regionOf := dict -}}
{{- range $region := $regions -}}
{{- $id := toString (int .id) -}}
{{- $ids = append $ids $id -}}
{{- if ne .state "off" -}}{{- $isOn = true -}}{{- end -}}
{{- if gt (int .id) 65535 -}}{{- fail (printf "regions.%s: invalid region number; expected 1 to 65535" $id) -}}{{- end -}}
{{- if regexMatch (include "derpfleet.uncomposed" .) .name -}}
{{- fail (printf "regions.%s.name: %q has characters that Unicode composes; expected composed ones (NFC)" $id .name) -}}
{{- end -}}
{{- range $at, $node := .region.nodes -}}
{{- $name := include "derpfleet.text" .name -}}
{{- if hasKey $regionOf $name -}}
{{- fail (printf "regions.%s.nodes[%d].name: %q is already used in region %s; expected a unique name" $id $at $name (get $regionOf $name)) -}}
{{- end -}}
{{- $_ := set $regionOf $name $id -}}
{{- if and (hasKey . "pin") (hasKey . "certname") -}}
{{- fail (printf "regions.%s.nodes[%d].pin: conflicts with certname; expected one of the two" $id $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $isOn -}}{{- fail "regions: all regions are off; expected at least one that is active or draining" -}}{{- end -}}
{{- if not (has (toString (int .Values.region)) $ids) -}}
{{- fail (printf "region: %d is not in regions; expected one of %s" (int .Values.region) (join ", " $ids)) -}}
{{- end -}}
{{- range $name := keys .Values.nodes | sortAlpha -}}
{{- if not (hasKey $regionOf $name) -}}
{{- fail (printf "nodes.%s: no relay in regions has this name; expected one of %s" $name (keys $regionOf | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.checkNodes" -}}
{{- $root := . -}}
{{- $relays := (include "derpfleet.relays" . | fromJson).relays -}}
{{- if not $relays -}}
{{- fail (printf "region: %d has no relay of its own in regions, only standbys and relays of other regions; expected at least one" (int .Values.region)) -}}
{{- end -}}
{{- $relayOf := dict -}}
{{- range $relays -}}
{{- if not (regexMatch "^[0-9A-Za-z]([0-9A-Za-z_.-]*[0-9A-Za-z])?$" .name) -}}
{{- fail (printf "regions.%d.nodes: the name %q is no label of Kubernetes; expected a letter or digit at both ends" (int .region) .name) -}}
{{- end -}}
{{- $machine := default "" .kubernetes.kubernetesNode -}}
{{- if ne (include "derpfleet.isStateful" $root) "true" -}}
{{- if not $machine -}}
{{- fail (printf "nodes.%s.kubernetesNode: is not set; expected the machine that has the relay's address, for exposure.mode %s" .name $root.Values.exposure.mode) -}}
{{- end -}}
{{- if hasKey $relayOf $machine -}}
{{- fail (printf "nodes.%s.kubernetesNode: %s is already the machine of %s; expected a machine for each relay" .name $machine (get $relayOf $machine)) -}}
{{- end -}}
{{- $_ := set $relayOf $machine .name -}}
{{- else if $machine -}}
{{- fail (printf "nodes.%s.kubernetesNode: has no effect with exposure.mode %s; expected hostNetwork or hostPort" .name $root.Values.exposure.mode) -}}
{{- end -}}
{{- if and (eq $root.Values.tls.mode "secrets") (not (include "derpfleet.tlsSecret" (list $root .))) -}}
{{- fail (printf "nodes.%s.tlsSecret: is not set; expected a Secret with the certificate of %s, or tls.existingSecret, for tls.mode secrets" .name .hostname) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.checkExposure" -}}
{{- $mode := .Values.exposure.mode -}}
{{- $isStateful := eq (include "derpfleet.isStateful" .) "true" -}}
{{- if eq $mode "hostPort" -}}
{{- $ports := list -}}
{{- range (include "derpfleet.relays" . | fromJson).relays -}}
{{- $ports = append $ports (printf "%d/%d" (int .derpPort) (int .stunPort)) -}}
{{- end -}}
{{- if gt (len (uniq $ports)) 1 -}}
{{- fail (printf "exposure.mode: hostPort needs the same derpport and stunport for all relays of the region, and they are %s; expected hostNetwork" (join ", " $ports)) -}}
{{- end -}}
{{- end -}}
{{- if eq $mode "hostNetwork" -}}
{{- include "derpfleet.checkMachinePorts" . -}}
{{- end -}}
{{- if and (not $isStateful) (eq .Values.tls.mode "acme") (not (and .Values.persistence.enabled .Values.persistence.hostPath)) -}}
{{- fail (printf "persistence.hostPath: is not set; expected a folder of each machine for the certificates, with tls.mode acme and exposure.mode %s" $mode) -}}
{{- end -}}
{{- if and $isStateful .Values.persistence.hostPath -}}
{{- fail (printf "persistence.hostPath: has no effect with exposure.mode %s; expected hostNetwork or hostPort" $mode) -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "acme") (not .Values.persistence.enabled) -}}
{{- fail "persistence.enabled: is false; expected true with tls.mode acme, because authorities limit how often they issue a certificate" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "acme") (eq $mode "clusterIP") -}}
{{- fail "tls.mode: acme needs a relay that the authority can reach, and exposure.mode is clusterIP; expected certManager or secrets" -}}
{{- end -}}
{{- if and (eq .Values.test.through "public") (eq $mode "clusterIP") -}}
{{- fail "test.through: public needs an address outside the cluster, and exposure.mode is clusterIP; expected pods" -}}
{{- end -}}
{{- if and (eq .Values.test.through "pods") (not $isStateful) -}}
{{- fail (printf "test.through: pods have no names of their own with exposure.mode %s; expected public" $mode) -}}
{{- end -}}
{{- if and (eq $mode "hostNetwork") .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled: a NetworkPolicy has no effect with exposure.mode hostNetwork; expected false" -}}
{{- end -}}
{{- end -}}

{{/* TCP ports of one machine: of clients, of captive-portal checks, of metrics and health. */}}
{{- define "derpfleet.checkMachinePorts" -}}
{{- $http := int .Values.exposure.hostNetwork.httpPort -}}
{{- if eq $http 9090 -}}
{{- fail "exposure.hostNetwork.httpPort: 9090 is the port of metrics and health; expected another one, or -1" -}}
{{- end -}}
{{- range (include "derpfleet.relays" . | fromJson).relays -}}
{{- if eq (int .derpPort) $http -}}
{{- fail (printf "exposure.hostNetwork.httpPort: %d is the derpport of %s as well; expected another one, or -1" $http .name) -}}
{{- end -}}
{{- if eq (int .derpPort) 9090 -}}
{{- fail (printf "regions.%d.nodes: %s has the derpport 9090, which is the port of metrics and health; expected another one, for exposure.mode hostNetwork" (int .region) .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.checkAdmission" -}}
{{- with .Values.admission -}}
{{- $urls := compact (list .verifyClientUrl .verifyClientUrlSecret.name) -}}
{{- $checks := compact (concat $urls (list .keysConfigMap.name .leaseConfigMap.name)) -}}
{{- if not (or $checks .open) -}}
{{- fail "admission: none of verifyClientUrl, verifyClientUrlSecret.name, keysConfigMap.name, leaseConfigMap.name and open are set; expected one, which says who may use the relays" -}}
{{- end -}}
{{- if eq (len $urls) 2 -}}
{{- fail "admission.verifyClientUrl: conflicts with verifyClientUrlSecret.name; expected one of the two" -}}
{{- end -}}
{{- if and .open $checks -}}
{{- fail "admission.open: conflicts with verifyClientUrl, verifyClientUrlSecret.name, keysConfigMap.name and leaseConfigMap.name; expected either open relays or a check of clients" -}}
{{- end -}}
{{- if ne (empty .leaseConfigMap.name) (empty .leaseKeys) -}}
{{- fail "admission.leaseKeys: says whose signature counts on the lease in leaseConfigMap.name; expected both or neither" -}}
{{- end -}}
{{- if and .failOpen (not $urls) -}}
{{- fail "admission.failOpen: has no effect without verifyClientUrl or verifyClientUrlSecret.name; expected false" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.checkSecrets" -}}
{{- if not (or .Values.mesh.existingSecret .Values.mesh.key) -}}
{{- fail "mesh.existingSecret: is not set; expected a Secret with the mesh key of the fleet, or mesh.key (derpfleet keygen -mesh -o mesh.key)" -}}
{{- end -}}
{{- if and .Values.mesh.existingSecret .Values.mesh.key -}}
{{- fail "mesh.key: conflicts with mesh.existingSecret; expected one of the two" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "certManager") (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: is not set; expected an Issuer or ClusterIssuer, for tls.mode certManager" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "acme") (eq .Values.tls.acme.authority "gcp") (not .Values.tls.acme.eabSecret) -}}
{{- fail "tls.acme.eabSecret: is not set; expected a Secret with kid and key, which the authority gcp requires" -}}
{{- end -}}
{{- if and (ne .Values.tls.mode "acme") .Values.tls.acme.eabSecret -}}
{{- fail (printf "tls.acme.eabSecret: has no effect with tls.mode %s; expected none" .Values.tls.mode) -}}
{{- end -}}
{{- with .Values.nats -}}
{{- if and .urls (not .secretSecret.name) -}}
{{- fail "nats.secretSecret.name: is not set; expected a Secret with the secret that hides node keys, because nats.urls is set" -}}
{{- end -}}
{{- if and (not .urls) (or .secretSecret.name .credentialsSecret.name .caSecret.name) -}}
{{- fail "nats.urls: is empty; expected NATS servers, because a Secret for them is set" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.checkMonitors" -}}
{{- $root := . -}}
{{- range $name := list "podMonitor" "serviceMonitor" "rules" -}}
{{- if (get $root.Values.metrics $name).enabled -}}
{{- include "derpfleet.needsApi" (list $root "monitoring.coreos.com/v1" (printf "metrics.%s.enabled" $name)) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.tls.mode "certManager" -}}
{{- include "derpfleet.needsApi" (list . "cert-manager.io/v1" "tls.mode") -}}
{{- end -}}
{{- if and (include "derpfleet.isAdminHidden" .) (or .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled) -}}
{{- fail "exposure.hostNetwork.admin: is loopback, which monitors cannot reach; expected hostIP" -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled: scrapes what metrics.podMonitor scrapes as well; expected one of the two" -}}
{{- end -}}
{{- end -}}

{{- define "derpfleet.needsApi" -}}
{{- $root := index . 0 -}}
{{- if not ($root.Capabilities.APIVersions.Has (index . 1)) -}}
{{- fail (printf "%s: the cluster has no %s; expected its operator to be installed, or --api-versions %s where manifests are made without a cluster" (index . 2) (index . 1) (index . 1)) -}}
{{- end -}}
{{- end -}}
