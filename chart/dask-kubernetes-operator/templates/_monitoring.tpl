{{/*
Stops a render where one of two switches is on that have an effect together alone. Takes {"of": what is scraped,
"part": is that wanted, "monitor": is a monitor wanted, "partPath": string, "monitorPath": string}.
*/}}
{{- define "dask-kubernetes-operator.validateSwitches" -}}
{{- $together := printf "set both to true to scrape %s, or both to false" .of -}}
{{- if and .monitor (not .part) -}}
  {{- printf "%s: has no effect while %s is false; %s" .monitorPath .partPath $together | fail -}}
{{- end -}}
{{- if and .part (not .monitor) -}}
  {{- printf "%s: has no effect while %s is false; %s" .partPath .monitorPath $together | fail -}}
{{- end -}}
{{- end -}}

{{/*
Stops a render whose monitor would come to nothing. Takes {"context": root, "kind": string, "monitor": its values,
"path": where those are}.

Only what a cluster itself says of its APIs goes down to kinds; what `helm template` assumes does not, nor what
--api-versions adds to it. So a cluster without monitors is told from no cluster, with no right to look anything up.
*/}}
{{- define "dask-kubernetes-operator.validateMonitor" -}}
{{- $apis := .context.Capabilities.APIVersions -}}
{{- if and ($apis.Has "v1/Namespace") (not ($apis.Has (printf "monitoring.coreos.com/v1/%s" .kind))) -}}
  {{- printf "%s.enabled: the cluster has no kind %s in monitoring.coreos.com/v1; install the Prometheus Operator first, %s"
        .path .kind "or its custom resource definitions alone, or set the value to false" | fail -}}
{{- end -}}
{{- $interval := include "dask-kubernetes-operator.milliseconds" .monitor.interval | int64 -}}
{{- $timeout := include "dask-kubernetes-operator.milliseconds" .monitor.scrapeTimeout | int64 -}}
{{- if and $interval (gt $timeout $interval) -}}
  {{- printf "%s.scrapeTimeout: %s is longer than the interval, %s; the Prometheus Operator ignores such a %s"
        .path .monitor.scrapeTimeout .monitor.interval .kind | fail -}}
{{- end -}}
{{- end -}}

{{/*
A duration as Prometheus writes it, such as 1m30s; nothing is 0.
*/}}
{{- define "dask-kubernetes-operator.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" (. | default "") -1 -}}
  {{- $total = regexFind "[0-9]+" . | int64 | mul (get $units (regexFind "[a-z]+" .)) | add $total -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{/*
Takes {"context": root, "suffix": of its name, "monitor": its values}. No selector rests on a monitor's labels, so that
users may change all of them.
*/}}
{{- define "dask-kubernetes-operator.monitorMetadata" -}}
{{- $labels := include "dask-kubernetes-operator.labels" .context | fromYaml -}}
name: {{ printf "%s%s" (include "dask-kubernetes-operator.fullname" .context) .suffix | quote }}
namespace: {{ .monitor.namespace | default (include "dask-kubernetes-operator.namespace" .context) | quote }}
labels:
  {{- mergeOverwrite $labels (.monitor.additionalLabels | default dict) | toYaml | nindent 2 }}
{{- end -}}

{{/*
Where the schedulers and workers are that the operator serves. A monitor takes no patterns: where one is among the
names, only all namespaces are sure to have those that it matches. Takes {"context": root, "monitor": values}.
*/}}
{{- define "dask-kubernetes-operator.monitoredNamespaces" -}}
{{- $names := (include "dask-kubernetes-operator.watched" .context | fromJson).names | default list -}}
{{- $plain := regexMatch "^[-a-z0-9]+( [-a-z0-9]+)*$" (join " " $names) -}}
{{- .monitor.namespaceSelector | default ($plain | ternary (dict "matchNames" $names) (dict "any" true)) | toYaml -}}
{{- end -}}

{{/*
Takes {"port": name, "monitor": values}.
*/}}
{{- define "dask-kubernetes-operator.monitorEndpoint" -}}
port: {{ .port }}
path: /metrics
{{- with .monitor.interval }}
interval: {{ . | quote }}
{{- end }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
honorLabels: {{ .monitor.honorLabels }}
{{- with .monitor.relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The groups of files/alerts.yaml, with what metrics.rules.alerts change. That file is no template: what it has in braces
is Prometheus' own.
*/}}
{{- define "dask-kubernetes-operator.alerts" -}}
{{- $rules := .Values.metrics.rules -}}
{{- $changes := $rules.alerts | default dict -}}
{{- $namespace := include "dask-kubernetes-operator.namespace" . -}}
{{- $groups := .Files.Get "files/alerts.yaml" | replace "$operatorNamespace" $namespace | fromYamlArray -}}
{{- $names := list -}}
{{- range $group := $groups -}}
  {{- $kept := list -}}
  {{- range $alert := $group.rules -}}
    {{- $names = append $names $alert.alert -}}
    {{- $change := get $changes $alert.alert | default dict -}}
    {{- with $rules.runbookUrl -}}
      {{- $_ := printf "%s#%s" . ($alert.alert | lower) | set $alert.annotations "runbook_url" -}}
    {{- end -}}
    {{- if dig "enabled" true $change -}}
      {{- $kept = mergeOverwrite $alert (omit $change "enabled") | append $kept -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $group "rules" $kept -}}
{{- end -}}
{{- range $name := keys $changes -}}
  {{- if not (has $name $names) -}}
    {{- printf "metrics.rules.alerts.%s: there is no such alert; there are %s" $name (join ", " $names) | fail -}}
  {{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
