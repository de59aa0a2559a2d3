// The form to log in.

const form = document.getElementById("form");
const why = document.getElementById("why");
const go = document.getElementById("go");

// Who comes by a link from another page is not known at first: the cookie is for requests from here alone.
fetch("/api/me").then((answer) => {
  if (answer.ok) location.replace("/" + location.hash);
}, () => {});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  why.textContent = "";
  go.disabled = true;
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: form.elements.name.value, password: form.elements.password.value }),
    });
    if (answer.ok) {
      location.replace("/" + location.hash);
      return;
    }
    why.textContent = (await answer.json()).error;
  } catch {
    why.textContent = "The gateway does not answer.";
  } finally {
    go.disabled = false;
  }
  form.elements.password.value = "";
  form.elements.password.focus();
});
