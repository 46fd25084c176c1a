package deploy

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// objects builds a kustomization and decodes all of it; a field that the API does not know is an error.
func objects(t *testing.T, dir string) (all []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(deploy, "kubernetes", dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		all = append(all, o)
	}
	return all
}

// the returns the one object of its type, or the one of that name.
func the[T interface {
	runtime.Object
	metav1.Object
}](t *testing.T, all []runtime.Object) (found T) {
	t.Helper()
	n := 0
	for _, o := range all {
		if o, ok := o.(T); ok {
			found = o
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d of %T", n, found)
	}
	return found
}

// TestSharedDeployment: the base, and the fleet's overlay of it, are in order and hang together.
func TestSharedDeployment(t *testing.T) {
	for _, dir := range []string{"base", "overlays/fleet"} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			all := objects(t, dir)
			d := the[*appsv1.Deployment](t, all)
			pod := d.Spec.Template
			c := pod.Spec.Containers[0]
			testPod(t, all, pod.Spec, c)
			for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if p == nil || p.HTTPGet == nil || port(c, p.HTTPGet.Port.StrVal) != 9100 {
					t.Errorf("probe %+v", p)
				}
			}
			if s := the[*corev1.Service](t, all); port(c, s.Spec.Ports[0].TargetPort.StrVal) != 9099 || !selects(s.Spec.Selector, pod.Labels) {
				t.Errorf("service %+v", s.Spec)
			}
			if b := the[*policyv1.PodDisruptionBudget](t, all); b.Spec.MaxUnavailable.IntValue() != 1 || b.Spec.Selector == nil || !selects(b.Spec.Selector.MatchLabels, pod.Labels) {
				t.Errorf("budget %+v", b.Spec)
			}
			n := the[*networkingv1.NetworkPolicy](t, all)
			if !selects(n.Spec.PodSelector.MatchLabels, pod.Labels) || len(n.Spec.PolicyTypes) != 2 {
				t.Errorf("policy %+v", n.Spec)
			}
			for i, p := range []int{9099, 9100} {
				if in := n.Spec.Ingress[i]; in.Ports[0].Port.IntValue() != p || len(in.From) == 0 {
					t.Errorf("policy for %d: %+v", p, in)
				}
			}
			for _, o := range all {
				if o, ok := o.(metav1.Object); ok && o.GetNamespace() != "cred-proxy" && o.GetName() != "cred-proxy" {
					t.Errorf("%s is in the namespace %q", o.GetName(), o.GetNamespace())
				}
			}
			if dir == "base" {
				return
			}
			h := the[*autoscalingv2.HorizontalPodAutoscaler](t, all)
			if h.Spec.ScaleTargetRef.Name != d.Name || d.Spec.Replicas != nil {
				t.Errorf("autoscaler of %+v, replicas %v", h.Spec.ScaleTargetRef, d.Spec.Replicas)
			}
			if routes := routesOf(t, all); strings.Count(routes, `"client_token_file"`) != strings.Count(routes, `"path"`) {
				t.Error("not every route has a client token")
			}
		})
	}
}

// TestAgentsNamespace: agents may talk to the proxy, and to nothing else at all.
func TestAgentsNamespace(t *testing.T) {
	all := objects(t, "overlays/agents")
	namespace, policy := the[*corev1.Namespace](t, all), the[*networkingv1.NetworkPolicy](t, all)
	shared := objects(t, "overlays/fleet")
	proxy := the[*networkingv1.NetworkPolicy](t, shared)
	if !selects(proxy.Spec.Ingress[0].From[0].NamespaceSelector.MatchLabels, namespace.Labels) {
		t.Error("the proxy does not let them in")
	}
	if s := policy.Spec; len(s.PodSelector.MatchLabels) > 0 || len(s.PolicyTypes) != 2 || len(s.Ingress) > 0 || len(s.Egress) != 1 {
		t.Fatalf("%+v", s)
	}
	out := policy.Spec.Egress[0]
	if len(out.Ports) != 1 || out.Ports[0].Port.IntValue() != 9099 || len(out.To) != 1 {
		t.Errorf("%+v", out)
	}
	to := out.To[0]
	if to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != the[*corev1.Namespace](t, shared).Name ||
		!selects(to.PodSelector.MatchLabels, the[*appsv1.Deployment](t, shared).Spec.Template.Labels) {
		t.Errorf("%+v", to)
	}
}

// TestSidecar: the proxy is there before the agent and as long as it, and what it holds is out of the agent's reach.
func TestSidecar(t *testing.T) {
	all := objects(t, "overlays/sidecar")
	pod := the[*batchv1.Job](t, all).Spec.Template.Spec
	c, agent := pod.InitContainers[0], pod.Containers[0]
	testPod(t, all, pod, c)
	if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("it is no sidecar")
	}
	if c.StartupProbe == nil || strings.Join(c.StartupProbe.Exec.Command, " ") != "/cred-proxy health" {
		t.Error("the agent does not wait for it")
	}
	env := environment(t, c)
	if env["CRED_PROXY_BIND"] != "127.0.0.1" || !strings.HasPrefix(env["CRED_PROXY_ADMIN"], "unix:") {
		t.Errorf("it listens at %s and %s", env["CRED_PROXY_BIND"], env["CRED_PROXY_ADMIN"])
	}
	if len(agent.VolumeMounts) > 0 || len(agent.EnvFrom) > 0 || *agent.SecurityContext.RunAsUser == *c.SecurityContext.RunAsUser {
		t.Errorf("the agent is too close to it: %+v", agent)
	}
	if pod.ShareProcessNamespace == nil || *pod.ShareProcessNamespace || pod.HostPID || pod.HostNetwork {
		t.Error("its processes can be seen")
	}
}

// testPod tests what holds for every Pod with a proxy in it.
func testPod(t *testing.T, all []runtime.Object, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	if c.Name != "cred-proxy" {
		t.Fatalf("container %s", c.Name)
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Error("a Service named cred-proxy would set CRED_PROXY_PORT")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the Pod may talk to the API")
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("security %+v", s)
	}
	// What the namespaces' label enforces.
	restricted, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range restricted.EvaluatePod(level, &metav1.ObjectMeta{}, &pod) {
		if !result.Allowed {
			t.Errorf("Pod Security: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	mounted := map[string]string{} // where, by volume
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" {
			t.Errorf("%s is mounted in a way that hides changes", m.Name)
		}
		mounted[m.Name] = m.MountPath
	}
	secrets := map[string]bool{} // directories
	for _, v := range pod.Volumes {
		if v.Secret != nil {
			secrets[mounted[v.Name]] = true
			if *v.Secret.DefaultMode&0o007 != 0 {
				t.Errorf("everybody may read %s", v.Secret.SecretName)
			}
		}
	}
	routes := routesOf(t, all)
	for _, file := range tokenFiles(t, routes) {
		if !secrets[filepath.Dir(file)] {
			t.Errorf("%s is in no mounted secret", file)
		}
	}
	grace := 30
	if pod.TerminationGracePeriodSeconds != nil {
		grace = int(*pod.TerminationGracePeriodSeconds)
	}
	proxyService{environment(t, c), routes, c.Resources.Limits.Memory().Value(), grace}.test(t)
}

func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			t.Errorf("%s is not a value", e.Name)
		}
		env[e.Name] = e.Value
	}
	return env
}

func routesOf(t *testing.T, all []runtime.Object) string {
	t.Helper()
	return the[*corev1.ConfigMap](t, all).Data["routes.json"]
}

// tokenFiles returns the files that routes name.
func tokenFiles(t *testing.T, routes string) (files []string) {
	t.Helper()
	var doc struct {
		Routes []map[string]any `json:"routes"`
	}
	if err := json.Unmarshal([]byte(routes), &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range doc.Routes {
		for _, key := range []string{"token_file", "client_token_file"} {
			if f, ok := r[key].(string); ok {
				files = append(files, f)
			}
		}
	}
	if len(files) < len(doc.Routes) || len(doc.Routes) == 0 {
		t.Errorf("%d token files in %d routes", len(files), len(doc.Routes))
	}
	return files
}

func port(c corev1.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

func selects(selector, of map[string]string) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(of))
}
