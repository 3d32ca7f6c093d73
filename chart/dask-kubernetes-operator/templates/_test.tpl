{{/*
What `helm test` needs: "true" where it is to be rendered. `helm template` knows no kinds, but what a cluster tells of
its APIs goes down to them, so that nothing of the test is in what is piped into `kubectl apply`, which knows no hooks.
*/}}
{{- define "dask-kubernetes-operator.isTestable" -}}
{{- .Capabilities.APIVersions.Has "v1/Namespace" | ternary "true" "" -}}
{{- end -}}

{{- define "dask-kubernetes-operator.testName" -}}
{{- printf "%s-test" (include "dask-kubernetes-operator.fullname" .) -}}
{{- end -}}

{{/*
Not those of the operator: its Deployment, NetworkPolicy, disruption budget and monitors select by them.
*/}}
{{- define "dask-kubernetes-operator.testLabels" -}}
{{- $labels := include "dask-kubernetes-operator.labels" . | fromYaml -}}
{{- $name := include "dask-kubernetes-operator.name" . | trunc 58 | trimAll "-." -}}
{{- $_ := set $labels "app.kubernetes.io/name" (printf "%s-test" $name) -}}
{{- $_ := set $labels "app.kubernetes.io/component" "test" -}}
{{- toYaml $labels -}}
{{- end -}}

{{/*
The account is the test's own, and gone after it; where rights are given by other means, it is the operator's.
*/}}
{{- define "dask-kubernetes-operator.testAccount" -}}
{{- $helper := .Values.rbac.create | ternary "testName" "serviceAccountName" -}}
{{- include (printf "dask-kubernetes-operator.%s" $helper) . -}}
{{- end -}}

{{/*
Annotations that make a hook of what the test's Pod needs: there before it, gone after it.
*/}}
{{- define "dask-kubernetes-operator.testRights" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/*
A namespace that the operator serves; the operator's own, if that is one.
*/}}
{{- define "dask-kubernetes-operator.testNamespace" -}}
{{- $own := include "dask-kubernetes-operator.namespace" . -}}
{{- $watched := include "dask-kubernetes-operator.watched" . | fromJson -}}
{{- $exact := list -}}
{{- range $watched.names -}}
  {{- if regexMatch "^[-a-z0-9]+$" . -}}
    {{- $exact = append $exact . -}}
  {{- end -}}
{{- end -}}
{{- $served := or (empty $exact) (has $own $exact) | ternary $own (first $exact | default "") -}}
{{- .Values.tests.namespace | default $served -}}
{{- end -}}

{{/*
The DaskJob: it sums up some numbers on a worker, under the operator's own security context, so that it runs wherever
the operator does.
*/}}
{{- define "dask-kubernetes-operator.testJob" -}}
apiVersion: kubernetes.dask.org/v1
kind: DaskJob
metadata:
  generateName: helm-test-
spec:
  # Should the test not live to delete it.
  ttlSecondsAfterFinished: 60
  activeDeadlineSeconds: {{ add .Values.tests.timeoutSeconds 60 }}
  backoffLimit: 0
  job:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          args:
            - python
            - -c
            - |
              from dask.distributed import Client
              with Client() as client:
                  client.wait_for_workers(1)
                  total = client.submit(sum, range(100)).result()
              if total != 4950:
                  raise SystemExit(f"the sum of the numbers below 100 is 4950, not {total}")
          {{- include "dask-kubernetes-operator.testContainer" . | nindent 10 }}
      {{- include "dask-kubernetes-operator.testPod" . | nindent 6 }}
  cluster:
    spec:
      scheduler:
        spec:
          containers:
            - name: scheduler
              args: [dask, scheduler]
              ports:
                - name: tcp-comm
                  containerPort: 8786
                - name: http-dashboard
                  containerPort: 8787
              readinessProbe:
                httpGet:
                  port: http-dashboard
                  path: /health
                periodSeconds: 2
              {{- include "dask-kubernetes-operator.testContainer" . | nindent 14 }}
          {{- include "dask-kubernetes-operator.testPod" . | nindent 10 }}
        service:
          type: ClusterIP
          ports:
            - name: tcp-comm
              port: 8786
              targetPort: tcp-comm
            - name: http-dashboard
              port: 8787
              targetPort: http-dashboard
      worker:
        replicas: 1
        spec:
          containers:
            - name: worker
              args: [dask, worker, --name, $(DASK_WORKER_NAME), --no-dashboard]
              {{- include "dask-kubernetes-operator.testContainer" . | nindent 14 }}
          {{- include "dask-kubernetes-operator.testPod" . | nindent 10 }}
{{- end -}}

{{- define "dask-kubernetes-operator.testContainer" -}}
image: {{ .Values.tests.image | quote }}
env:
  - name: HOME
    value: /tmp
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- define "dask-kubernetes-operator.testPod" -}}
volumes:
  - name: tmp
    emptyDir: {}
{{ include "dask-kubernetes-operator.testPlace" . }}
{{- end -}}

{{- define "dask-kubernetes-operator.testPlace" -}}
{{- with include "dask-kubernetes-operator.imagePullSecrets" . | trim }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
