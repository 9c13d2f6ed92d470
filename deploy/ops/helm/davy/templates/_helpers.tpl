{{- define "davy.labels" -}}
app.kubernetes.io/name: davy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "davy.name" -}}
{{- printf "%s-davy" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- define "davy.port" -}}
{{- if eq .role "web" }}{{ .root.Values.config.http.port }}{{ else }}{{ .root.Values.config.health.port }}{{ end -}}
{{- end }}
