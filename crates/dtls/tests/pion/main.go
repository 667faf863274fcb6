// A DTLS peer that is not ours, over pion/dtls, which speaks DTLS 1.2 (RFC 6347) and 1.3 (RFC 9147) in both roles.
//
// Says on standard output what it sees, a word and a value a line, and ends with its standard input.
//
//	peer client|server 1.2|1.3 REMOTE_ADDRESS
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/pion/dtls/v4"
	"github.com/pion/dtls/v4/pkg/crypto/selfsign"
	"github.com/pion/dtls/v4/pkg/protocol"
)

// Bytes of both master keys and both salts, by profile (RFC 5764 §4.2, RFC 7714 §12).
var exportLen = map[dtls.SRTPProtectionProfile]int{
	dtls.SRTP_AEAD_AES_256_GCM:       88,
	dtls.SRTP_AEAD_AES_128_GCM:       56,
	dtls.SRTP_AES128_CM_HMAC_SHA1_80: 60,
}

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	role, version := os.Args[1], map[string]protocol.Version{"1.2": protocol.Version1_2, "1.3": protocol.Version1_3}[os.Args[2]]
	certificate, err := selfsign.GenerateSelfSigned()
	check(err)
	fmt.Printf("FINGERPRINT %X\n", sha256.Sum256(certificate.Certificate[0]))

	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	remote, err := net.ResolveUDPAddr("udp4", os.Args[3])
	check(err)
	options := []dtls.Option{
		dtls.WithCertificates(certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithMinVersion(version),
		dtls.WithMaxVersion(version),
		// Small enough that flights come in several datagrams.
		dtls.WithMTU(400),
	}
	fmt.Printf("LISTEN %s\n", socket.LocalAddr())
	var conn *dtls.Conn
	if role == "client" {
		all := []dtls.ClientOption{}
		for _, option := range options {
			all = append(all, option)
		}
		conn, err = dtls.Client(socket, remote, all...)
	} else {
		all := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for _, option := range options {
			all = append(all, option)
		}
		conn, err = dtls.Server(socket, remote, all...)
	}
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	check(conn.HandshakeContext(ctx))

	state, ok := conn.ConnectionState()
	if !ok {
		log.Fatal("no state of a connection that is there")
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		log.Fatal("no SRTP profile")
	}
	keys, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, exportLen[profile])
	check(err)
	negotiated := "1.2"
	if state.NegotiatedVersion() == protocol.Version1_3 {
		negotiated = "1.3"
	}
	fmt.Printf("VERSION %s\nPROFILE %d\nKEYS %X\n", negotiated, uint16(profile), keys)

	go func() {
		for {
			_, err := conn.Write([]byte("hello from pion"))
			check(err)
			time.Sleep(200 * time.Millisecond)
		}
	}()
	for {
		data := make([]byte, 2048)
		n, err := conn.Read(data)
		check(err)
		fmt.Printf("DATA %s\n", data[:n])
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
