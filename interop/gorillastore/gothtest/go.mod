module github.com/bulla-go/bulla/interop/gorillastore/gothtest

go 1.26.0

replace (
	github.com/bulla-go/bulla => ../../..
	github.com/bulla-go/bulla/interop/gorillastore => ..
)

require (
	github.com/bulla-go/bulla v0.0.0-00010101000000-000000000000
	github.com/bulla-go/bulla/interop/gorillastore v0.0.0-00010101000000-000000000000
	github.com/markbates/goth v1.82.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/fxamacker/cbor/v2 v2.9.6 // indirect
	github.com/go-chi/chi/v5 v5.2.2 // indirect
	github.com/gorilla/context v1.1.1 // indirect
	github.com/gorilla/mux v1.6.2 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/gorilla/sessions v1.4.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
