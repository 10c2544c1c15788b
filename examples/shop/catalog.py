"""The catalog: any program that listens on $PORT is a function."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRODUCTS = [{"name": "net", "price": 12}, {"name": "jar", "price": 3}, {"name": "lamp", "price": 29}]


class Catalog(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The library writes head and body apart; without this, each answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        body = json.dumps(PRODUCTS).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print("catalog:", format % args, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        # The library looks up the host's name in DNS at this point; a function's start should not wait for that.
        self.socket.setsockopt(__import__("socket").SOL_SOCKET, __import__("socket").SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address


Server(("127.0.0.1", int(os.environ["PORT"])), Catalog).serve_forever()
