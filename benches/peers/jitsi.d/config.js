var config = {
    hosts: { domain: '@DOMAIN@', muc: 'muc.@DOMAIN@', focus: 'focus.@DOMAIN@' },
    bosh: 'https://@ADDRESS@:@HTTPS_PORT@/http-bind',
    websocket: 'wss://@ADDRESS@:@HTTPS_PORT@/xmpp-websocket',
    websocketKeepAliveUrl: 'https://@ADDRESS@:@HTTPS_PORT@/_unlock',
    bridgeChannel: { preferSctp: @SCTP@ },
    p2p: { enabled: false, stunServers: [] },
};
