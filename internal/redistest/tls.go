//go:build unix

package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Secure is a [Server] that also speaks TLS.
type Secure struct {
	*Server
	TLSAddr string // of the name "localhost" and of 127.0.0.1
	CA      string // the file with the certificate of who has signed the server's
}

// TLS starts a server with a certificate for names, signed by an authority of its
// own, that takes connections by TLS besides. Without names these are localhost and
// 127.0.0.1.
func TLS(t testing.TB, names ...string) *Secure {
	t.Helper()
	require(t)
	dir, port := t.TempDir(), freePort(t)
	cert := &x509.Certificate{DNSNames: names}
	if len(names) == 0 {
		cert.DNSNames, cert.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "redistest"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey := newKey(t)
	s := &Secure{TLSAddr: net.JoinHostPort("127.0.0.1", port), CA: filepath.Join(dir, "ca.pem")}
	writePEM(t, s.CA, "CERTIFICATE", sign(t, ca, caKey, ca, caKey))
	key := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", sign(t, cert, key, ca, caKey))
	writePEM(t, keyFile, "PRIVATE KEY", der)
	s.Server = Single(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", s.CA, "--tls-auth-clients", "no")
	return s
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return key
}

// sign returns the certificate of key that by signs, good for an hour.
func sign(t testing.TB, cert *x509.Certificate, key *ecdsa.PrivateKey, by *x509.Certificate, byKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	cert.SerialNumber = big.NewInt(time.Now().UnixNano())
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, cert, by, key.Public(), byKey)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return der
}

func writePEM(t testing.TB, file, what string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der}), 0o600); err != nil {
		t.Fatalf("redistest: %v", err)
	}
}
