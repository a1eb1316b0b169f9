module github.com/bulla-go/bulla/interop/gorillastore

go 1.26.0

replace github.com/bulla-go/bulla => ../..

require (
	github.com/bulla-go/bulla v0.0.0-00010101000000-000000000000
	github.com/gorilla/sessions v1.4.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/fxamacker/cbor/v2 v2.9.6 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
