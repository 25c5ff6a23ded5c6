//! Mutual TLS between nodes: both ends show a certificate of the cluster's own authority, and the name in
//! it is the name the node goes by.

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};
use webpki::EndEntityCert;

use crate::config::TlsConfig;

pub(super) fn client(tls: &TlsConfig, peer: &str) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&tls.ca))
        .identity(Identity::from_pem(&tls.certificate, &tls.key))
        .domain_name(peer)
}

pub(super) fn server(tls: &TlsConfig) -> ServerTlsConfig {
    ServerTlsConfig::new()
        .client_ca_root(Certificate::from_pem(&tls.ca))
        .identity(Identity::from_pem(&tls.certificate, &tls.key))
}

/// Whether a certificate, already known to be the authority's, is valid for the name its bearer gives.
pub(super) fn bears(certificate: &[u8], name: &str) -> bool {
    let der = rustls_pki_types::CertificateDer::from(certificate);
    let name = rustls_pki_types::ServerName::try_from(name);
    match (EndEntityCert::try_from(&der), name) {
        (Ok(bearer), Ok(name)) => bearer.verify_is_valid_for_subject_name(&name).is_ok(),
        _ => false,
    }
}
