// Draw each figure once, when it comes into view: a page with many stays quick.
(function () {
  function draw(place) {
    if (place.dataset.drawn || !window.Plotly) return;
    place.dataset.drawn = "yes";
    var source = document.querySelector('script[data-for="' + place.id + '"]');
    var figure = JSON.parse(source.textContent);
    figure.config = Object.assign({ responsive: true, displaylogo: false, displayModeBar: window.innerWidth > 640 ? "hover" : false }, figure.config);
    window.Plotly.newPlot(place, figure);
  }
  function begin() {
    var places = document.querySelectorAll(".plot");
    if (!("IntersectionObserver" in window)) return places.forEach(draw);
    var watcher = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) { if (entry.isIntersecting) draw(entry.target); });
    }, { rootMargin: "600px" });
    places.forEach(function (place) { watcher.observe(place); });
    window.addEventListener("beforeprint", function () { places.forEach(draw); });
  }
  window.addEventListener("load", begin);
})();
