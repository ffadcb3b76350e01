const form = document.getElementById('echo');
if (form) {
  const output = form.querySelector('output');
  const say = (line) => { output.textContent = `${line}\n${output.textContent}`.split('\n', 6).join('\n'); };
  const address = new URL(form.dataset.path, location.href);
  address.protocol = address.protocol.replace('http', 'ws');
  let socket;
  const open = () => {
    socket = new WebSocket(address);
    socket.onmessage = (event) => say(`← ${event.data}`);
    socket.onclose = () => say('closed');
    return new Promise((done) => { socket.onopen = done; });
  };
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (socket?.readyState !== WebSocket.OPEN) await open();
    const text = form.elements.text.value;
    say(`→ ${text}`);
    socket.send(text);
  });
}
