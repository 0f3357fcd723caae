/* Run one signature of a SavedModel through TensorFlow's C API.

   This is the session loader of TensorFlow Serving, without Python:

       run_saved_model FOLDER INPUT images BATCH HEIGHT WIDTH PIXELS OUTPUT...
       run_saved_model FOLDER INPUT files BATCH FILE... OUTPUT...

   INPUT and each OUTPUT are tensor names of the SignatureDef, such as "call:0".
   PIXELS holds uint8 numbers. Output n goes to the file n.bin, and a line
   with its data type and its sides to the standard output. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

static void check(int fine, const char *message) {
  if (!fine) {
    fprintf(stderr, "%s\n", message);
    exit(1);
  }
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  check(file != NULL, path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *content = malloc(*size + 1);
  check(content && fread(content, 1, *size, file) == *size, path);
  fclose(file);
  return content;
}

/* Return the tensor of a name "operation:index". */
static TF_Output find(TF_Graph *graph, const char *name) {
  char operation[512];
  const char *colon = strrchr(name, ':');
  check(colon && colon - name < 512, name);
  memcpy(operation, name, colon - name);
  operation[colon - name] = 0;
  TF_Output output = {TF_GraphOperationByName(graph, operation),
                      atoi(colon + 1)};
  check(output.oper != NULL, name);
  return output;
}

static TF_Tensor *images_tensor(char **argument) {
  int64_t sides[4] = {atoll(argument[0]), atoll(argument[1]),
                      atoll(argument[2]), 3};
  size_t size, expected = sides[0] * sides[1] * sides[2] * 3;
  char *content = read_file(argument[3], &size);
  check(size == expected, "The file has another number of pixels.");
  TF_Tensor *tensor = TF_AllocateTensor(TF_UINT8, sides, 4, size);
  memcpy(TF_TensorData(tensor), content, size);
  free(content);
  return tensor;
}

static TF_Tensor *files_tensor(char **argument) {
  int64_t batch = atoll(argument[0]);
  TF_Tensor *tensor =
      TF_AllocateTensor(TF_STRING, &batch, 1, batch * sizeof(TF_TString));
  TF_TString *strings = TF_TensorData(tensor);
  for (int64_t row = 0; row < batch; row++) {
    size_t size;
    char *content = read_file(argument[1 + row], &size);
    TF_StringInit(&strings[row]);
    TF_StringCopy(&strings[row], content, size);
    free(content);
  }
  return tensor;
}

static void write_tensor(int number, TF_Tensor *tensor) {
  char path[32];
  snprintf(path, sizeof(path), "%d.bin", number);
  FILE *file = fopen(path, "wb");
  size_t size = TF_TensorByteSize(tensor);
  check(file && fwrite(TF_TensorData(tensor), 1, size, file) == size, path);
  fclose(file);
  printf("%d", TF_TensorType(tensor));
  for (int side = 0; side < TF_NumDims(tensor); side++) {
    printf(" %lld", (long long)TF_Dim(tensor, side));
  }
  printf("\n");
}

int main(int count, char **argument) {
  check(count > 5, "See the head of the source.");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(
      options, NULL, argument[1], tags, 1, graph, NULL, status);
  check(TF_GetCode(status) == TF_OK, TF_Message(status));

  TF_Output input = find(graph, argument[2]);
  int is_files = strcmp(argument[3], "files") == 0;
  TF_Tensor *given = (is_files ? files_tensor : images_tensor)(&argument[4]);
  int first = is_files ? 5 + atoi(argument[4]) : 8;
  int number = count - first;
  TF_Output *outputs = malloc(number * sizeof(TF_Output));
  TF_Tensor **found = calloc(number, sizeof(TF_Tensor *));
  for (int n = 0; n < number; n++) {
    outputs[n] = find(graph, argument[first + n]);
  }
  TF_SessionRun(session, NULL, &input, &given, 1, outputs, found, number, NULL,
                0, NULL, status);
  check(TF_GetCode(status) == TF_OK, TF_Message(status));
  for (int n = 0; n < number; n++) {
    write_tensor(n, found[n]);
    TF_DeleteTensor(found[n]);
  }
  TF_DeleteTensor(given);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  free(outputs);
  free(found);
  return 0;
}
