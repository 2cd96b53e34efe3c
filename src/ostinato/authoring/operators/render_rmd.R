# Renders an R Markdown file into $OSTINATO_OUT. Its parameters of these names are those of the run.
file <- commandArgs(trailingOnly = TRUE)[1]
given <- jsonlite::fromJSON(Sys.getenv("OSTINATO_PARAMS"), simplifyDataFrame = FALSE)
given$ds <- Sys.getenv("OSTINATO_DS")
given$partition <- Sys.getenv("OSTINATO_PARTITION")
declared <- names(rmarkdown::yaml_front_matter(file)$params)
rmarkdown::render(
  file,
  output_dir = Sys.getenv("OSTINATO_OUT"),
  intermediates_dir = tempfile("render"),
  knit_root_dir = getwd(),
  params = given[intersect(names(given), declared)],
  envir = new.env(),
  quiet = TRUE
)
