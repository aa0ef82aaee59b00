/* methods.h: every method of the double: X(handler, path, kind, its request, what it permits). */
X(get_state, "/lnrpc.State/GetState", UNARY, get_state_request, "")
X(get_info, "/lnrpc.Lightning/GetInfo", UNARY, get_info_request, "info:read")
X(sign_message, "/lnrpc.Lightning/SignMessage", UNARY, sign_message_request, "message:write")
X(list_channels, "/lnrpc.Lightning/ListChannels", UNARY, list_channels_request, "offchain:read")
X(pending_channels, "/lnrpc.Lightning/PendingChannels", UNARY, pending_channels_request,
  "offchain:read")
X(closed_channels, "/lnrpc.Lightning/ClosedChannels", UNARY, closed_channels_request,
  "offchain:read")
X(subscribe_channel_events, "/lnrpc.Lightning/SubscribeChannelEvents", SERVER_STREAM,
  channel_event_subscription, "offchain:read")
X(close_channel, "/lnrpc.Lightning/CloseChannel", SERVER_STREAM, close_channel_request,
  "onchain:write offchain:write")
X(connect_peer, "/lnrpc.Lightning/ConnectPeer", UNARY, connect_peer_request, "peers:write")
X(open_channel_sync, "/lnrpc.Lightning/OpenChannelSync", UNARY, open_channel_request,
  "onchain:write offchain:write")
X(wallet_balance, "/lnrpc.Lightning/WalletBalance", UNARY, wallet_balance_request, "onchain:read")
X(channel_balance, "/lnrpc.Lightning/ChannelBalance", UNARY, channel_balance_request,
  "offchain:read")
X(send_payment, "/routerrpc.Router/SendPaymentV2", SERVER_STREAM, send_payment_request,
  "offchain:write")
X(track_payment, "/routerrpc.Router/TrackPaymentV2", SERVER_STREAM, track_payment_request,
  "offchain:read")
X(decode_pay_req, "/lnrpc.Lightning/DecodePayReq", UNARY, pay_req_string, "offchain:read")
X(add_invoice, "/lnrpc.Lightning/AddInvoice", UNARY, invoice, "invoices:write")
X(lookup_invoice, "/lnrpc.Lightning/LookupInvoice", UNARY, payment_hash, "invoices:read")
X(list_invoices, "/lnrpc.Lightning/ListInvoices", UNARY, list_invoice_request, "invoices:read")
X(subscribe_invoices, "/lnrpc.Lightning/SubscribeInvoices", SERVER_STREAM, invoice_subscription,
  "invoices:read")
X(add_hold_invoice, "/invoicesrpc.Invoices/AddHoldInvoice", UNARY, add_hold_invoice_request,
  "invoices:write")
X(settle_invoice, "/invoicesrpc.Invoices/SettleInvoice", UNARY, settle_invoice_msg,
  "invoices:write")
X(cancel_invoice, "/invoicesrpc.Invoices/CancelInvoice", UNARY, cancel_invoice_msg,
  "invoices:write")
